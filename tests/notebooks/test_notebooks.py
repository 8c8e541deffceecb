"""Every lesson runs from its first cell to its last, and is committed without outputs."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]-*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


def run(path: Path, dataset: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> list:
    """Execute a notebook offline over a dataset; return its outputs."""
    monkeypatch.setenv("GIT10M_DATASET", str(dataset))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(cache))
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(FOLDER)}}).execute()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_look_at_a_dataset(small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = run(FOLDER / "01-look-at-a-dataset.ipynb", small_dataset, tmp_path, monkeypatch)

    pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    text = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert len(pictures) == 3  # map, one tile, contact sheet
    sizes = [Image.open(io.BytesIO(base64.b64decode(picture))).size for picture in pictures]
    assert sizes[1] == (256, 256)
    assert "67 planned = 53 kept + 14 dropped or failed" in text
    assert not [output for output in outputs if output.output_type == "error"]
