"""Git-RSCLIP and other SigLIP models: how well a text fits an image (Zhai et al., arXiv 2303.15343).

Images are prepared with Pillow and NumPy as ``preprocessor_config.json`` says; nothing needs torchvision.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from text2earth.errors import ModelError

__all__ = ["ImageTextModel"]

_BATCH = 16

Images = Sequence[Image.Image | npt.NDArray[np.uint8]]


class ImageTextModel:
    """Scores texts against images, and encodes both as unit vectors.

    One independent comparison ranks the base version of Git-RSCLIP last of five such models: let it never be the only
    judge of a caption.

    Args:
        model: ``transformers.SiglipModel``.
        tokenizer: Of its text tower.
        preprocessor: ``preprocessor_config.json``.
    """

    def __init__(self, model: Any, *, tokenizer: Any, preprocessor: dict[str, Any]) -> None:
        self.model, self.tokenizer = model, tokenizer
        size = preprocessor.get("size", {})
        side = int(model.config.vision_config.image_size)
        self._size = (int(size.get("width", side)), int(size.get("height", side)))
        self._resample = Image.Resampling(int(preprocessor.get("resample", Image.Resampling.BICUBIC)))
        self._scale = float(preprocessor.get("rescale_factor", 1 / 255))
        self._mean = np.array(preprocessor.get("image_mean", (0.5, 0.5, 0.5)), dtype=np.float32)
        self._std = np.array(preprocessor.get("image_std", (0.5, 0.5, 0.5)), dtype=np.float32)

    @classmethod
    def read(
        cls, folder: Path, *, device: str | torch.device | None = None, dtype: torch.dtype | None = None
    ) -> ImageTextModel:
        """Read a folder in the layout of ``transformers``.

        Args:
            folder: With ``config.json``, weights as safetensors, ``preprocessor_config.json`` and a tokenizer.
            device: Where it runs; CUDA where there is a device, else the CPU.
            dtype: Of the weights; float32 on the CPU, elsewhere as they are stored, if left out.

        Raises:
            ModelError: If it is no SigLIP model, or a part is missing or of another shape.
        """
        where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        kind = _json(folder / "config.json").get("model_type")
        if kind != "siglip":
            raise ModelError(f"{folder} holds a model of type {kind!r}; a zoo model for images and texts is a 'siglip'")
        preprocessor = _json(folder / "preprocessor_config.json")
        model = _weights(folder, dtype or (torch.float32 if where.type == "cpu" else "auto"))
        return cls(model.to(where).eval(), tokenizer=_tokenizer(folder), preprocessor=preprocessor)

    @torch.no_grad()
    def images(self, images: Images) -> torch.Tensor:
        """Return unit vectors (N, D), float32 on the CPU, of RGB images of any size."""
        parts = [self._unit(self.model.get_image_features(pixel_values=batch)) for batch in self._pixels(images)]
        return torch.cat(parts) if parts else torch.empty(0, self._width)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Return unit vectors (N, D), float32 on the CPU; what lies beyond 64 tokens is cut off."""
        limit = int(self.model.config.text_config.max_position_embeddings)
        parts = []
        for start in range(0, len(texts), _BATCH):
            given = list(texts[start : start + _BATCH])
            # SigLIP is trained with padding as part of the text, and without a mask.
            ids = self.tokenizer(
                given, padding="max_length", truncation=True, max_length=limit, return_tensors="pt"
            ).input_ids
            parts.append(self._unit(self.model.get_text_features(input_ids=ids.to(self.model.device))))
        return torch.cat(parts) if parts else torch.empty(0, self._width)

    def logits(self, images: Images, texts: Sequence[str]) -> torch.Tensor:
        """Return how well each text fits each image, (images, texts); its sigmoid is SigLIP's own probability."""
        scale, bias = self.model.logit_scale.detach().float().cpu(), self.model.logit_bias.detach().float().cpu()
        found: torch.Tensor = self.images(images) @ self.texts(texts).T * scale.exp() + bias
        return found

    @property
    def _width(self) -> int:
        return int(self.model.config.vision_config.hidden_size)

    def _unit(self, found: Any) -> torch.Tensor:
        vectors: torch.Tensor = (found if isinstance(found, torch.Tensor) else found.pooler_output).float().cpu()
        return torch.nn.functional.normalize(vectors, dim=-1)

    def _pixels(self, images: Images) -> list[torch.Tensor]:
        """Return batches (B, 3, H, W) as the image tower takes them."""
        batches = []
        for start in range(0, len(images), _BATCH):
            rows = []
            for image in images[start : start + _BATCH]:
                picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
                resized = picture.convert("RGB").resize(self._size, self._resample)
                values = (np.asarray(resized, dtype=np.float32) * self._scale - self._mean) / self._std
                rows.append(torch.from_numpy(values).permute(2, 0, 1))
            batches.append(torch.stack(rows).to(self.model.device, self.model.dtype))
        return batches


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); it is part of the model: fetch it again") from None
    return found


def _weights(folder: Path, dtype: torch.dtype | str) -> Any:
    from transformers import SiglipModel

    kind: Any = SiglipModel
    try:
        model, said = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True, dtype=dtype
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{folder}: its weights cannot be opened ({str(error).splitlines()[0]})") from error
    wrong = [
        *(f"{name} missing" for name in sorted(said["missing_keys"])),
        *(f"{each[0] if isinstance(each, tuple) else each} of another shape" for each in said["mismatched_keys"]),
    ]
    if wrong:
        raise ModelError(
            f"{folder}: {len(wrong)} weights differ from those that its config.json asks for: {', '.join(wrong[:3])}"
        )
    return model


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, ImportError, KeyError, AttributeError) as error:
        raise ModelError(
            f"{folder}: its tokenizer cannot be opened ({str(error).splitlines()[0]}); that of SigLIP needs "
            "pip install 'git10m[embeddings]'"
        ) from error
