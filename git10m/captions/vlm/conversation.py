"""The questions that one picture may need, as bodies of requests: asked, and asked again where an answer is faulty.

The bodies follow from picture, facts, prompt, model and the answers so far, and from nothing else; so the answers of
an earlier run, of another process or of a batch file are found again by the hash of the body.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from PIL import Image

from git10m import recipe
from git10m.captions.subjects import Judge, Picture
from git10m.captions.vlm.prompts import facts_of, prompt_hash, question, read_answer, schema_of, system_prompt

__all__ = ["Ask", "Conversations"]

_MIME = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


@dataclass(frozen=True)
class Ask:
    """One request.

    Attributes:
        key: SHA-256 of all that decides about the answer, hexadecimal.
        body: JSON body for ``/chat/completions``.
        tokens: About how many tokens it and its answer have, for the pace.
    """

    key: str
    body: dict[str, Any]
    tokens: int


class Conversations:
    """Writes the requests of pictures.

    Args:
        captions: What the recipe says; ``captions.openai`` is there.
    """

    def __init__(self, captions: recipe.Captions) -> None:
        assert captions.openai is not None
        self._captions, self._model = captions, captions.openai
        self._orders = system_prompt(captions.lengths, images=self.sees, instructions=self._model.instructions)

    @property
    def sees(self) -> bool:
        """Whether images are sent."""
        return self._model.image == "send"

    @property
    def version(self) -> str:
        """The model, and the hash of what it is told and how it is asked."""
        said = {
            name: getattr(self._model, name)
            for name in ("temperature", "max_tokens", "seed", "detail", "side_px", "json_mode", "extra")
        }
        lengths, instructions = self._captions.lengths, self._model.instructions
        return f"{self._model.model} {prompt_hash(lengths, images=self.sees, instructions=instructions, **said)}"

    def about(self, picture: Picture, judge: Judge) -> Generator[Ask, str, tuple[str, ...] | None]:
        """Yield requests, each to be answered with the model's text; return the captions, or None after the last try.

        Args:
            picture: With its image where images are sent.
            judge: Says what is wrong with a caption.
        """
        messages = self._opening(picture)
        for _ in range(self._model.attempts):
            text = yield self._ask(messages, picture)
            try:
                texts = read_answer(text, self._captions.lengths)
            except ValueError as error:
                faults = [f"it is not the JSON object that was asked for ({error})"]
            else:
                lengths = zip(texts, self._captions.lengths, strict=True)
                faults = list(
                    dict.fromkeys(fault for each, length in lengths for fault in judge(each, picture, length))
                )
                if not faults:
                    return texts
            messages = [
                *messages,
                {"role": "assistant", "content": text[:2000] or "{}"},
                {"role": "user", "content": f"That cannot be used: {'; '.join(faults)}. Write the JSON object again."},
            ]
        return None

    def _opening(self, picture: Picture) -> list[dict[str, Any]]:
        text = question(facts_of(picture, self._captions.mention))
        if not self.sees:
            return [{"role": "system", "content": self._orders}, {"role": "user", "content": text}]
        assert picture.image is not None
        image = {"url": _data_url(picture.image, self._model.side_px), "detail": self._model.detail}
        content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": image}]
        return [{"role": "system", "content": self._orders}, {"role": "user", "content": content}]

    def _ask(self, messages: list[dict[str, Any]], picture: Picture) -> Ask:
        model = self._model
        body: dict[str, Any] = {"model": model.model, "messages": messages, model.max_tokens_name: model.max_tokens}
        if model.temperature is not None:
            body["temperature"] = model.temperature
        if model.seed is not None:
            body["seed"] = model.seed
        if model.json_mode == "object":
            body["response_format"] = {"type": "json_object"}
        elif model.json_mode == "schema":
            schema = {"name": "captions", "strict": True, "schema": schema_of(self._captions.lengths)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        body |= model.extra
        written = json.dumps(body, sort_keys=True, ensure_ascii=False)
        # An image counts by its pixels, not by its characters: about a token for each 28 by 28 of them.
        words = sum(len(m["content"]) if isinstance(m["content"], str) else 400 for m in messages) // 4
        seen = (picture.width * picture.height) // 784 if self.sees else 0
        return Ask(hashlib.sha256(written.encode()).hexdigest(), body, words + seen + model.max_tokens)


def _data_url(image: bytes, side_px: int | None) -> str:
    """Return an image as an address that holds it: as it is, or shrunk until no side is longer than asked."""
    with Image.open(io.BytesIO(image)) as picture:
        kind = picture.format or ""
        if kind not in _MIME or (side_px is not None and max(picture.size) > side_px):
            small = picture.convert("RGB")
            if side_px is not None:
                small.thumbnail((side_px, side_px), Image.Resampling.BOX)
            buffer = io.BytesIO()
            small.save(buffer, "JPEG", quality=90, subsampling=0)
            image, kind = buffer.getvalue(), "JPEG"
    return f"data:{_MIME[kind]};base64,{base64.b64encode(image).decode()}"
