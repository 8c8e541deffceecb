"""Heads give what the layers of torch give, from the files in which such heads are published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from git10m.curation.heads import open_head
from git10m.errors import RecipeError

torch = pytest.importorskip("torch")


class Predictor(torch.nn.Module):
    """The aesthetic predictor of LAION (christophschuhmann/improved-aesthetic-predictor), narrower."""

    def __init__(self, *, relu: bool) -> None:
        super().__init__()
        between = [torch.nn.ReLU()] if relu else []
        self.layers = torch.nn.Sequential(
            *(torch.nn.Linear(24, 32), *between, torch.nn.Dropout(0.2)),
            *(torch.nn.Linear(32, 16), *between, torch.nn.Dropout(0.1)),
            torch.nn.Linear(16, 1),
        )


def vectors(count: int = 50) -> np.ndarray:
    drawn = np.random.default_rng(0).normal(size=(count, 24)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_an_mlp_scores_as_in_torch(tmp_path: Path, relu: bool, ending: str):
    from safetensors.torch import save_file

    torch.manual_seed(1)
    model = Predictor(relu=relu).eval()
    path = tmp_path / f"head{ending}"
    if ending == ".pth":
        torch.save(model.state_dict(), path)
    else:
        save_file(model.state_dict(), path)
    with torch.inference_mode():
        expected = model.layers(torch.from_numpy(vectors()))[:, 0].numpy()
    head = open_head(path, activation="relu" if relu else "none", dimensions=24)
    assert head.dimensions == 24
    np.testing.assert_allclose(head.scores(vectors()), expected, atol=1e-6)


def test_a_single_layer_scores_as_in_torch(tmp_path: Path):
    layer = torch.nn.Linear(24, 1)
    torch.save(layer.state_dict(), tmp_path / "sa_0_4_linear.pth")
    expected = layer(torch.from_numpy(vectors()))[:, 0].detach().numpy()
    np.testing.assert_allclose(open_head(tmp_path / "sa_0_4_linear.pth").scores(vectors()), expected, atol=1e-6)


def test_layers_beyond_the_tenth_stay_in_order(tmp_path: Path):
    layers = torch.nn.Sequential(*(torch.nn.Linear(24, 24) for _ in range(11)), torch.nn.Linear(24, 1))
    torch.save(layers.state_dict(), tmp_path / "deep.pt")
    expected = layers(torch.from_numpy(vectors()))[:, 0].detach().numpy()
    np.testing.assert_allclose(open_head(tmp_path / "deep.pt").scores(vectors()), expected, atol=1e-6)


def test_what_is_no_head_is_told_in_words(tmp_path: Path):
    path = tmp_path / "head.pth"
    with pytest.raises(RecipeError, match="there is no such file"):
        open_head(path)
    path.write_bytes(b"nothing")
    with pytest.raises(RecipeError, match="cannot be read"):
        open_head(path)
    torch.save({"model": Path("not a tensor")}, path)  # a pickle of something else than weights
    with pytest.raises(RecipeError, match="cannot be read"):
        open_head(path)
    torch.save(torch.nn.Conv2d(3, 1, 3).state_dict(), path)
    with pytest.raises(RecipeError, match="is no head"):
        open_head(path)
    torch.save(torch.nn.Linear(24, 2).state_dict(), path)
    with pytest.raises(RecipeError, match="must end in one number"):
        open_head(path)
    torch.save(torch.nn.Linear(24, 1).state_dict(), path)
    with pytest.raises(RecipeError, match="vectors of 24 numbers, the encoder's have 512"):
        open_head(path, dimensions=512)
    torch.save({"weight": torch.full((1, 24), torch.nan), "bias": torch.zeros(1)}, path)
    with pytest.raises(RecipeError, match="no numbers"):
        open_head(path)
