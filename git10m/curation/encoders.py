"""Models that turn images, and some of them texts, into vectors whose cosine tells how alike two are.

A model is a folder in the layout of transformers: ``config.json``, weights (safetensors, or a file of torch that holds
nothing but weights), ``preprocessor_config.json``, and a tokenizer where it reads texts. Nothing is fetched, and no
code of the folder is run. Known are the classes of CLIP (also RemoteCLIP and clip-rsicd, converted), SigLIP and SigLIP
2 of fixed size (Git-RSCLIP), DINOv2, DINOv3, ViT, and convolutional networks of transformers with a pooled output.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from git10m.curation.preprocessing import Preprocessing
from git10m.errors import RecipeError
from git10m.shards import file_sha256

__all__ = ["BATCH", "Encoder", "encoder_digest", "encoder_versions", "inspect_encoder", "open_encoder", "unit_vectors"]

Pixels = npt.NDArray[np.uint8]
Vectors = npt.NDArray[np.float32]

BATCH = 20
"""Images or texts that a model sees at once, always: another number changes the last bits of what comes out."""

_BOTH = frozenset({"clip", "siglip"})
_PROJECTED = frozenset({"clip_vision_model"})
_FIRST_TOKEN = frozenset({"vit", "deit", "vit_msn", "dinov2", "dinov2_with_registers", "dinov3_vit"})
_POOLED = frozenset(
    {"siglip_vision_model", "resnet", "convnext", "convnextv2", "dinov3_convnext", "regnet", "swin", "swinv2"}
)
_KNOWN = _BOTH | _PROJECTED | _FIRST_TOKEN | _POOLED
_UNUSED_WEIGHTS = ("pooler.", "logit_scale", "logit_bias", "embeddings.mask_token", "position_ids")
"""Weights that a folder may lack, for no vector depends on them."""


class Encoder:
    """A model that gives unit vectors; see `open_encoder`.

    Attributes:
        folder: Of the model.
        kind: Its ``model_type``.
        dimensions: Numbers of a vector.
        reads_texts: Whether it has a text tower.
    """

    def __init__(self, folder: Path, *, device: str) -> None:
        self.folder, self.kind, self._device = folder, inspect_encoder(folder), device
        self.reads_texts = self.kind in _BOTH
        self._preprocessing = Preprocessing.read(folder, kind=self.kind)
        self._model = _load(folder, self.kind, device)
        grey = self.prepared(np.full((64, 64, 3), 128, dtype=np.uint8))
        self.dimensions = int(self._seen([grey]).shape[1])

    @cached_property
    def identity(self) -> str:
        """SHA-256 of all that decides about the vectors: weights, settings, tokenizer."""
        return encoder_digest(self.folder)

    def prepared(self, pixels: Pixels) -> Pixels:
        """Return an image, uint8 (H, W, 3), as large as the model takes it: what is kept of it while others wait."""
        return self._preprocessing.prepared(pixels)

    def images(self, pixels: Sequence[Pixels], *, prepared: bool = False) -> Vectors:
        """Return unit vectors of images.

        Args:
            pixels: uint8 (H, W, 3), RGB, of any size.
            prepared: They come from `prepared`.

        Returns:
            float32 (N, D); an image's vector does not depend on its neighbours.
        """
        parts = [np.empty((0, self.dimensions), dtype=np.float32)]
        for start in range(0, len(pixels), BATCH):
            part = pixels[start : start + BATCH]
            parts.append(self._seen(part if prepared else [self.prepared(each) for each in part]))
        return np.concatenate(parts)

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of texts, float32 (N, D); what lies beyond the model's window is cut off.

        Raises:
            RecipeError: If the model reads no texts.
        """
        import torch  # noqa: PLC0415 - an extra

        parts = [np.empty((0, self.dimensions), dtype=np.float32)]
        for start in range(0, len(texts), BATCH):
            part = list(texts[start : start + BATCH])
            tokens = self._tokenizer(
                part + [""] * (BATCH - len(part)),
                padding="max_length",
                truncation=True,
                max_length=self.window,
                return_tensors="pt",
            )
            with torch.inference_mode(), _one_thread(torch, self._device):
                found = self._model.get_text_features(**tokens.to(self._device))
            parts.append(unit_vectors(_pooled(found)[: len(part)].cpu().numpy()))
        return np.concatenate(parts)

    def overlong(self, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Tell which texts do not fit into the model's window, (N,)."""
        if not len(texts):
            return np.zeros(0, dtype=bool)
        window = self.window
        tokens = self._tokenizer(list(texts), padding=False, truncation=False, verbose=False)["input_ids"]
        return np.array([len(each) > window for each in tokens])

    @cached_property
    def window(self) -> int:
        """Tokens that the text tower reads, with those that begin and end a text."""
        assert self._tokenizer is not None  # or it says why not
        return int(self._model.config.text_config.max_position_embeddings)

    def _seen(self, prepared: Sequence[Pixels]) -> Vectors:
        """Return the vectors of at most `BATCH` prepared images."""
        import torch  # noqa: PLC0415 - an extra

        batch = np.zeros((BATCH, 3, *prepared[0].shape[:2]), dtype=np.float32)
        batch[: len(prepared)] = self._preprocessing.scaled(prepared)
        values = torch.from_numpy(batch).to(self._device)
        with torch.inference_mode(), _one_thread(torch, self._device):
            if self.kind in _BOTH:
                found = _pooled(self._model.get_image_features(pixel_values=values))
            else:
                said = self._model(pixel_values=values)
                found = said.image_embeds if self.kind in _PROJECTED else _vector(said, self.kind)
        return unit_vectors(found[: len(prepared)].cpu().numpy())

    @cached_property
    def _tokenizer(self) -> Any:
        import transformers  # noqa: PLC0415 - an extra

        if not self.reads_texts:
            kinds = ", ".join(sorted(_BOTH))
            raise RecipeError(f"{self.folder.name}: a model of kind {self.kind} reads no texts; give one of {kinds}")
        try:
            with _quiet(transformers):
                return transformers.AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError, ImportError, KeyError, AttributeError) as error:
            raise RecipeError(
                f"{self.folder.name}: its tokenizer cannot be opened ({_first_line(error)}); the folder needs the "
                "tokenizer's files, and those of SigLIP need pip install 'git10m[embeddings]'"
            ) from error


@lru_cache(maxsize=4)
def open_encoder(folder: Path, *, device: str = "cpu") -> Encoder:
    """Open a model; the last few stay open.

    Args:
        folder: In the layout of transformers.
        device: ``"cpu"``, or ``"cuda"``. On one kind of device the same image gives the same vector.

    Raises:
        RecipeError: If the folder holds no model, one of an unknown kind, or not all of its weights; or torch and
            transformers are missing.
    """
    return Encoder(folder, device=device)


def inspect_encoder(folder: Path) -> str:
    """Return the ``model_type`` of a folder without opening its weights.

    Raises:
        RecipeError: As `open_encoder` does.
    """
    if not (folder / "config.json").is_file():
        found = "there is no such folder" if not folder.is_dir() else "it has no config.json"
        raise RecipeError(
            f"{folder}: is no model ({found}); give a folder in the layout of transformers, with config.json, weights "
            'and preprocessor_config.json. Vectors of any other model can be given as embeddings = "file.parquet"'
        )
    transformers = _transformers()
    try:
        with _quiet(transformers):
            kind = str(transformers.AutoConfig.from_pretrained(folder, local_files_only=True).model_type)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecipeError(f"{folder.name}: its config.json is of no known model ({_first_line(error)})") from error
    if kind not in _KNOWN:
        raise RecipeError(
            f"{folder.name}: is a model of kind {kind!r}; known are {', '.join(sorted(_KNOWN))}. Vectors of any other "
            'model can be given as embeddings = "file.parquet"'
        )
    return kind


def encoder_digest(folder: Path) -> str:
    """Return the SHA-256 of the files of a model that decide about its vectors; names of folders are no part of it."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    wanted = [path for path in files if path.suffix in {".json", ".safetensors", ".model", ".txt"}]
    if not any(path.suffix == ".safetensors" for path in wanted):
        wanted += [path for path in files if path.suffix == ".bin"]
    digest = hashlib.sha256()
    for path in wanted:
        digest.update(f"{path.name} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def encoder_versions() -> dict[str, str]:
    """Return the versions of the libraries that decide about vectors."""
    return {name: importlib.metadata.version(name) for name in ("torch", "transformers", "tokenizers")}


def unit_vectors(vectors: npt.NDArray[Any]) -> Vectors:
    """Return vectors (N, D) divided by their lengths; those without a length or with a NaN become NaN."""
    wide = np.asarray(vectors, dtype=np.float64)
    length = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = wide / np.where(np.isfinite(length) & (length > 0), length, np.nan)
    unit: Vectors = found.astype(np.float32)
    return unit


def _transformers() -> Any:
    try:
        import torch  # noqa: F401, PLC0415 - an extra
        import transformers  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise RecipeError(
            f"a model needs torch and transformers ({error.name} is missing): pip install 'git10m[models]'"
        ) from error
    return transformers


def _load(folder: Path, kind: str, device: str) -> Any:
    """Open a model's weights, all of them: transformers fills what is missing with random numbers."""
    transformers = _transformers()
    import torch  # noqa: PLC0415 - an extra

    if device == "cuda" and not torch.cuda.is_available():
        raise RecipeError(f'{folder.name}: device = "cuda" is asked, and torch finds no such device here; say "cpu"')
    opener = transformers.CLIPVisionModelWithProjection if kind in _PROJECTED else transformers.AutoModel
    try:
        with _quiet(transformers):
            model, said = opener.from_pretrained(
                folder, local_files_only=True, output_loading_info=True, dtype=torch.float32, trust_remote_code=False
            )
    except Exception as error:  # what damaged weights raise is of many kinds, some of them the library's own
        raise RecipeError(
            f"{folder.name}: its weights cannot be opened ({_first_line(error)}); fetch model.safetensors again"
        ) from error
    missing = sorted(name for name in said["missing_keys"] if not any(part in name for part in _UNUSED_WEIGHTS))
    wrong = missing or [str(each) for each in said.get("mismatched_keys", ())]
    if wrong:
        raise RecipeError(
            f"{folder.name}: {len(wrong)} weights that its config.json asks for are missing or of another shape, e.g. "
            f"{wrong[0]}; the weights are of another model"
        )
    if device == "cuda":
        torch.backends.cudnn.allow_tf32 = False
    return model.eval().to(device)


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep the library's remarks and bars to itself; what matters of them is said by us."""
    before, shown = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(before)
        if shown:
            transformers.logging.enable_progress_bar()


@contextmanager
def _one_thread(torch: Any, device: str) -> Iterator[None]:
    """Sums in another number of threads differ in their last bits; workers share the machine anyway."""
    threads = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _pooled(found: Any) -> Any:
    """Return the vectors of what a tower gives: themselves, or an object that holds them."""
    return found if hasattr(found, "cpu") else found.pooler_output


def _vector(said: Any, kind: str) -> Any:
    """Return the first token of a transformer, or the pooled output of another network, (N, D)."""
    if kind in _FIRST_TOKEN:
        return said.last_hidden_state[:, 0]
    return said.pooler_output.flatten(1)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
