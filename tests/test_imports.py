"""Imports follow the data: an arrow only points left."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

GIT10M = (
    "errors",
    "grid",
    "records",
    "catalog",  # before recipe, whose sources it completes
    "recipe",  # before region, which reads an area of interest out of it
    "remote",
    "vectors",
    "synthetic",
    "region",
    "shards",
    "sources",
    "sampling",
    "curation",
    "metadata",
    "captions",
    "engine",
    "publish",
    "dataset",
    "report",
    "verify",
    "building",
    "planning",
    "cli",
)
"""Rooms of the dataset toolkit; each may import only those before it."""

TEXT2EARTH = (
    "errors",
    "noise",
    "conditioning",
    "diffusion",
    "models",
    "latents",
    "data",
    "provenance",
    "checkpoints",
    "layout",  # model folders of any origin
    "converting",
    "zoo",
    "sampling",
    "training",
    "world",
    "exporting",
    "evaluation",
    "serving",
    "cli",
)
"""Rooms of the model package; ``sampling`` before ``training``, which shows samples while it runs."""

OF_GIT10M_IN_TEXT2EARTH = {
    "git10m.grid",
    "git10m.records",
    "git10m.shards",
    "git10m.curation.rrdb",
    "git10m.curation.degradation_chain",
}

TORCH_AT_THE_TOP = {
    "git10m/curation/rrdb.py",
    "git10m/curation/rrdb_weights.py",
    "git10m/curation/restorer_training.py",
}
"""Files of the toolkit that are a network, or nothing without one; others import them where they need them."""
WITH_NETWORKS = {
    *TORCH_AT_THE_TOP,
    "git10m/curation/encoders.py",
    "git10m/curation/enhancement.py",
    "git10m/curation/heads.py",
    "git10m/captions/vlm/local.py",
}
"""Files of the toolkit that use torch; but for those above they import it when they are asked to work."""

HEAVY = {"torch", "diffusers", "transformers", "accelerate"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def room_of(path: Path, package: str) -> str:
    """The room that a file belongs to; a package's own ``__init__`` stands outside the order."""
    first = path.relative_to(ROOT / package).parts[0]
    return first.removesuffix(".py")


def imported(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    """Every module that a file imports, with the names that may be modules themselves."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports say the whole name of a module"
            assert node.module is not None
            for alias in node.names:
                below = ROOT / Path(*node.module.split(".")) / alias.name
                is_module = below.is_dir() or below.with_suffix(".py").is_file()
                yield f"{node.module}.{alias.name}" if is_module else node.module


def rooms_imported(path: Path, package: str) -> set[str]:
    return {name.split(".")[1] for name in imported(path) if name.startswith(f"{package}.")}


@pytest.mark.parametrize(("package", "order"), [("git10m", GIT10M), ("text2earth", TEXT2EARTH)])
def test_every_room_has_its_place(package: str, order: tuple[str, ...]):
    rooms = {room_of(path, package) for path in modules(package)} - {"__init__", "__main__"}
    assert rooms <= set(order)


@pytest.mark.parametrize(("package", "order"), [("git10m", GIT10M), ("text2earth", TEXT2EARTH)])
def test_an_arrow_only_points_left(package: str, order: tuple[str, ...]):
    rank = {room: i for i, room in enumerate(order)}
    reverse = [
        f"{path.relative_to(ROOT)} imports {package}.{room}"
        for path in modules(package)
        if room_of(path, package) in rank
        for room in rooms_imported(path, package)
        if rank[room] > rank[room_of(path, package)]
    ]
    assert reverse == []


@pytest.mark.parametrize("package", ["git10m", "text2earth"])
def test_modules_of_one_room_do_not_import_each_other_in_a_circle(package: str):
    graph = {}
    for path in modules(package):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        graph[name] = {each for each in imported(path, top_level_only=True) if each.startswith(package)} - {name}
    while free := [name for name, needs in graph.items() if not needs & graph.keys()]:
        for name in free:
            del graph[name]
    assert sorted(graph) == []


def test_shards_need_nothing_but_records():
    assert rooms_imported(ROOT / "git10m/shards.py", "git10m") <= {"records"}


def test_the_dataset_toolkit_knows_nothing_of_the_models():
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules("git10m")
        for name in imported(path)
        if name.split(".")[0] in HEAVY | {"text2earth"} and path.relative_to(ROOT).as_posix() not in WITH_NETWORKS
    ]
    assert found == []


def test_the_models_take_four_rooms_of_the_toolkit():
    taken = {name for path in modules("text2earth") for name in imported(path) if name.split(".")[0] == "git10m"}
    assert taken <= OF_GIT10M_IN_TEXT2EARTH


def test_losses_import_no_network():
    rooms = rooms_imported(ROOT / "text2earth/diffusion.py", "text2earth")
    assert rooms <= {"errors", "noise"}


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after a statement."""
    code = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_importing_the_toolkit_never_imports_torch():
    paths = [path for path in modules("git10m") if path.relative_to(ROOT).as_posix() not in TORCH_AT_THE_TOP]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    everything = ", ".join(name.removesuffix(".__init__") for name in names)
    loaded = loaded_by(f"import {everything}")
    assert "git10m" in loaded
    assert not loaded & HEAVY


def test_importing_the_models_is_quick_where_it_can_be():
    """``text2earth --help`` must not wait for torch."""
    assert not loaded_by("import text2earth, text2earth.cli") & HEAVY


def test_there_is_no_torchvision():
    """A build of it that does not match torch breaks CLIP, SigLIP and Stable Diffusion by merely being there."""
    import importlib.metadata

    installed = {distribution.name.lower() for distribution in importlib.metadata.distributions()}
    if "torchvision" in installed:
        torchvision = pytest.importorskip("torchvision")
        pytest.skip(f"torchvision {torchvision.__version__} is installed and works with the torch that is here")
    assert "torchvision" not in installed
