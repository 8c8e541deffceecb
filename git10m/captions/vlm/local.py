"""Captions by a vision-language model on this machine: the Qwen-VL class, the LLaVA class and the BLIP class.

Model, tokenizer and image processor are put together by hand, for the processors of ``transformers`` want torchvision.
Words are the likeliest ones unless a temperature is asked for; batches have one size, filled up where pictures are
few, and the processor one thread, so that the same pictures give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from git10m import recipe
from git10m.captions.subjects import Judge, Picture, Written
from git10m.captions.vlm.prompts import WORDS, facts_of, prompt_hash, question, read_answer, system_prompt
from git10m.errors import RequestError

__all__ = ["LocalWriter", "check_model", "model_digest"]

_QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
_KINDS = frozenset({*_QWEN, "llava", "blip"})
_FRAME = 64
"""Prompts are padded to a multiple of so many tokens, so that batches take few shapes."""


def check_model(folder: Path) -> str:
    """Return the kind of the model in a folder, without loading it.

    Raises:
        RequestError: If there is no model of a kind that can be used, or packages are missing.
    """
    what = f"captions.transformers.path {folder.name!r}"
    expected = "expected a folder with config.json, *.safetensors, tokenizer and image processor, as transformers saves"
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise RequestError(f"{what}: holds no model (no readable config.json); {expected}") from error
    if kind not in _KINDS:
        raise RequestError(
            f"{what}: holds a model of type {kind!r}; those that can be used: {', '.join(sorted(_KINDS))}"
        )
    if not list(folder.glob("*.safetensors")):
        raise RequestError(f"{what}: has no weights as safetensors; {expected}")
    if not any((folder / name).is_file() for name in ("preprocessor_config.json", "processor_config.json")):
        raise RequestError(f"{what}: has no image processor (preprocessor_config.json); {expected}")
    if missing := [name for name in ("torch", "transformers") if find_spec(name) is None]:
        raise RequestError(f"captions.writer = 'transformers' needs {', '.join(missing)}: pip install 'git10m[models]'")
    return str(kind)


def model_digest(folder: Path) -> str:
    """Return the SHA-256 of a model's files, weights included."""
    digest = hashlib.sha256()
    names = {".json", ".safetensors", ".txt", ".jinja", ".model"}
    for path in sorted(path for path in folder.iterdir() if path.suffix in names):
        with path.open("rb") as file:
            digest.update(f"{path.name}:{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


class LocalWriter:
    """Writes captions with a model on this machine, a batch of pictures at a time.

    Args:
        captions: What the recipe says; ``captions.transformers`` is there.

    Raises:
        RequestError: If the folder holds no model that can be used.
    """

    needs_images = True

    def __init__(self, captions: recipe.Captions) -> None:
        assert captions.transformers is not None
        self._captions, self._said = captions, captions.transformers
        self._folder = Path(self._said.path)
        self._kind = check_model(self._folder)

    @property
    def version(self) -> str:
        """The model's kind and hash, and the hash of what it is told."""
        said = {name: getattr(self._said, name) for name in ("dtype", "max_new_tokens", "temperature", "batch")}
        lengths = self._captions.lengths
        told = prompt_hash(lengths, images=True, instructions=self._said.instructions, **said)
        return f"{self._kind} {self._weights} {told}"

    def write(self, pictures: Sequence[Picture], *, judge: Judge) -> list[Written | None]:
        """Return the captions of each picture."""
        found: list[Written | None] = [None] * len(pictures)
        waiting, lengths = list(range(len(pictures))), self._captions.lengths
        for attempt in range(self._said.attempts):
            if attempt and self._said.temperature == 0:
                break  # the likeliest words would be the same
            for start in range(0, len(waiting), self._said.batch):
                part = waiting[start : start + self._said.batch]
                for i, texts in zip(part, self._batch([pictures[i] for i in part], attempt), strict=True):
                    if texts is not None and not any(map(judge, texts, [pictures[i]] * len(texts), lengths)):
                        found[i] = Written(texts, "transformers", self.version)
            waiting = [i for i in waiting if found[i] is None]
        return found

    def _batch(self, pictures: list[Picture], attempt: int) -> list[tuple[str, ...] | None]:
        """Return the captions of at most a batch; None where the model did not give any."""
        import torch  # noqa: PLC0415 - an extra

        # A batch of one size, whoever is in it: arithmetic depends on the shape.
        filled = pictures + [pictures[-1]] * (self._said.batch - len(pictures))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            if self._said.temperature:
                drawn = f"{self._captions.seed}:{attempt}:{':'.join(picture.key for picture in pictures)}"
                torch.manual_seed(int.from_bytes(hashlib.sha256(drawn.encode()).digest()[:7]))
            answers = [self._read(text) for text in self._answers(filled)]
        finally:
            torch.set_num_threads(threads)
        return answers[: len(pictures)]

    def _read(self, text: str) -> tuple[str, ...] | None:
        if self._kind == "blip":  # it knows no instructions: one caption, whatever was asked
            plain = " ".join(text.split())
            return (plain,) * len(self._captions.lengths) if plain else None
        try:
            return read_answer(text, self._captions.lengths)
        except ValueError:
            plain = " ".join(text.split())
        # Small models write the caption and no JSON; one caption needs none.
        least, most = WORDS[self._captions.lengths[0]]
        one = len(self._captions.lengths) == 1 and not {"{", "}"} & set(plain)
        return (plain,) if one and least // 3 <= len(plain.split()) <= 2 * most else None

    def _answers(self, pictures: list[Picture]) -> list[str]:
        import torch  # noqa: PLC0415 - an extra

        model, words, _ = self._model
        inputs = self._inputs(pictures)
        inputs = {
            name: value.to(model.device, model.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }
        how: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if self._said.temperature:
            how = {"do_sample": True, "temperature": self._said.temperature}
        with torch.inference_mode():
            made = model.generate(**inputs, max_new_tokens=self._said.max_new_tokens, **how)
        start = 0 if self._kind == "blip" else inputs["input_ids"].shape[1]
        said: list[str] = words.batch_decode(made[:, start:], skip_special_tokens=True)
        return said

    def _inputs(self, pictures: list[Picture]) -> dict[str, Any]:
        """Return what the model takes: pixels, and prompts in which each image has as many tokens as it needs."""
        _, words, look = self._model
        images = [Image.open(io.BytesIO(picture.image or b"")).convert("RGB") for picture in pictures]
        seen = dict(look(images=images, return_tensors="pt"))
        if self._kind == "blip":
            return {"pixel_values": seen["pixel_values"]}
        mark, counts = self._image_tokens(seen, len(pictures))
        prompts = [self._prompt(p).replace(mark, mark * n) for p, n in zip(pictures, counts, strict=True)]
        told = words(prompts, return_tensors="pt", padding=True, pad_to_multiple_of=_FRAME, add_special_tokens=False)
        inputs = {"input_ids": told["input_ids"], "attention_mask": told["attention_mask"], **seen}
        if self._kind in _QWEN:
            is_image = told["input_ids"] == words.convert_tokens_to_ids(mark)
            inputs["mm_token_type_ids"] = is_image.to(told["input_ids"].dtype)
        return inputs

    def _image_tokens(self, seen: dict[str, Any], count: int) -> tuple[str, list[int]]:
        """Return the token that stands for a piece of an image, and how many of them each image has."""
        model, words, look = self._model
        if self._kind in _QWEN:
            mark = words.convert_ids_to_tokens(model.config.image_token_id)
            return mark, [int(grid.prod()) // look.merge_size**2 for grid in seen["image_grid_thw"]]
        mark = words.convert_ids_to_tokens(model.config.image_token_id)
        height, width = seen["pixel_values"].shape[-2:]
        patch = model.config.vision_config.patch_size
        # CLIP's class token goes with the "default" strategy.
        more = 0 if model.config.vision_feature_select_strategy == "default" else 1
        return mark, [(height // patch) * (width // patch) + more] * count

    def _prompt(self, picture: Picture) -> str:
        _, words, _ = self._model
        orders = system_prompt(self._captions.lengths, images=True, instructions=self._said.instructions)
        facts = question(facts_of(picture, self._captions.mention))
        asked = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": f"{orders}\n{facts}"}]}
        text: str = words.apply_chat_template([asked], tokenize=False, add_generation_prompt=True)
        return text

    @cached_property
    def _model(self) -> tuple[Any, Any, Any]:
        """The model, its tokenizer and its image processor."""
        return _load(self._folder, self._said, self._kind)

    @cached_property
    def _weights(self) -> str:
        return model_digest(self._folder)[:12]


def _load(folder: Path, said: recipe.TransformersWriter, kind: str) -> tuple[Any, Any, Any]:
    import torch  # noqa: PLC0415 - an extra
    import transformers  # noqa: PLC0415 - an extra
    from safetensors import SafetensorError  # noqa: PLC0415 - an extra

    offline: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    device = said.device if said.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = "auto" if said.dtype == "auto" else getattr(torch, said.dtype)
    makers: Any = transformers
    maker = makers.BlipForConditionalGeneration if kind == "blip" else makers.AutoModelForImageTextToText
    try:
        model = maker.from_pretrained(str(folder), use_safetensors=True, dtype=dtype, **offline).eval().to(device)
        words = makers.AutoTokenizer.from_pretrained(str(folder), padding_side="left", **offline)
        look = makers.AutoImageProcessor.from_pretrained(str(folder), backend="pil", **offline)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RequestError(
            f"captions.transformers.path {folder.name!r}: the model cannot be loaded on {device} ({reason})"
        ) from error
    if kind != "blip" and words.chat_template is None:
        raise RequestError(f"captions.transformers.path {folder.name!r}: its tokenizer has no chat template")
    return model, words, look
