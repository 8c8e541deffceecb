"""Tables of a recipe that say which model writes captions, and how it is asked."""

from __future__ import annotations

import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from git10m.recipe.values import Table

__all__ = ["OpenAIWriter", "TransformersWriter"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class OpenAIWriter(Table):
    """A server that speaks OpenAI's API: vLLM, SGLang, Ollama, ``transformers serve``, or OpenAI's own.

    Attributes:
        base_url: Address of the API, which mostly ends in ``/v1``; None: OpenAI's.
        model: Name of a model that sees images, as the server knows it.
        api_key: Name of the environment variable that holds the key, never the key; None: ``OPENAI_API_KEY`` for
            OpenAI's own server, no key for others.
        temperature: 0 for the likeliest words; None: not sent, for models that refuse it.
        max_tokens: Most tokens of an answer.
        max_tokens_name: What the server calls that limit; OpenAI's newer models want ``"max_completion_tokens"``.
        seed: Sent to servers that take one; None: not sent.
        image: ``"send"``: facts and image. ``"none"``: facts alone, for models without eyes.
        detail: How closely OpenAI's models look.
        side_px: Images with a longer side are sent shrunk to it; None: always as they are stored.
        instructions: Added to our own.
        json_mode: What the server offers to force JSON: ``"none"``, ``"object"`` or ``"schema"``.
        extra: Further keys of the request's body, e.g. ``{reasoning_effort = "low"}``.
        attempts: How often a tile is asked about, until what comes is a caption without faults.
        cache: Folder of answers, which several builds may share; None: within the dataset's ``work/``.
        requests_per_minute: Most, of all processes on a machine together; 0: no limit.
        tokens_per_minute: Most tokens of prompts and answers; 0: no limit.
        concurrency: Most requests at once, a process.
        timeout_s: Of one request.
        retries: Of a request that failed for a reason that may pass.
        input_price: Of a million prompt tokens, in a currency of yours.
        output_price: Of a million tokens of answers.
        most_cost: Stop when so much was spent, over all runs.
        most_requests: Stop after so many requests, over all runs.
    """

    base_url: str | None = None
    model: str = Field(min_length=1)
    api_key: str | None = None
    temperature: float | None = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=400, ge=1)
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    seed: int | None = None
    image: Literal["send", "none"] = "send"
    detail: Literal["low", "high", "auto"] = "auto"
    side_px: int | None = Field(default=None, ge=32, le=4096)
    instructions: str = ""
    json_mode: Literal["none", "object", "schema"] = "none"
    extra: dict[str, Any] = Field(default_factory=dict)
    attempts: int = Field(default=3, ge=1, le=10)
    cache: str | None = None
    requests_per_minute: float = Field(default=0, ge=0)
    tokens_per_minute: float = Field(default=0, ge=0)
    concurrency: int = Field(default=8, ge=1, le=1000)
    timeout_s: float = Field(default=120, gt=0)
    retries: int = Field(default=6, ge=0, le=100)
    input_price: float = Field(default=0, ge=0)
    output_price: float = Field(default=0, ge=0)
    most_cost: float | None = Field(default=None, ge=0)
    most_requests: int | None = Field(default=None, ge=0)

    @field_validator("base_url")
    @classmethod
    def _no_secrets(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("is no address; expected e.g. http://localhost:8000/v1")
        if "@" in parts.netloc or parts.query:
            raise ValueError(
                "an address must not hold a password or a query, for recipes are published; put the key into an "
                'environment variable and name that: api_key = "MY_KEY"'
            )
        return url.rstrip("/")

    @field_validator("api_key")
    @classmethod
    def _name_of_a_variable(cls, name: str | None) -> str | None:
        if name is not None and (not _VARIABLE.fullmatch(name) or name.startswith(("sk_", "hf_"))):
            raise ValueError(
                "expected the name of the environment variable that holds the key, e.g. OPENAI_API_KEY; "
                "what was given is no such name, and a key must never stand in a recipe"
            )
        return name

    @field_validator("extra")
    @classmethod
    def _not_ours(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if taken := extra.keys() & {"model", "messages", "stream", "n", "temperature", "response_format", "seed"}:
            raise ValueError(f"{', '.join(sorted(taken))} is set by git10m; the other keys of the table say how")
        return extra

    @property
    def manners(self) -> frozenset[str]:
        """Keys that say how to ask, and nothing about what is answered."""
        return frozenset(
            {"base_url", "api_key", "cache", "requests_per_minute", "tokens_per_minute", "concurrency", "timeout_s"}
            | {"retries", "input_price", "output_price", "most_cost", "most_requests"}
        )


class TransformersWriter(Table):
    """A vision-language model on this machine, in a folder as ``transformers`` saves it.

    Attributes:
        path: The folder, with ``config.json``, weights as safetensors, tokenizer and image processor.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``; ``"auto"``: a GPU where there is one.
        dtype: Of the weights; ``"auto"``: as saved.
        max_new_tokens: Most tokens of a caption.
        batch: Images at once; part of what decides about bytes.
        temperature: 0: the likeliest words, the same every time; above: drawn, by the recipe's seed and the image.
        instructions: Added to our own; a BLIP model takes none.
        attempts: How often a tile is asked about, until the caption is one without faults.
    """

    path: str
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    max_new_tokens: int = Field(default=160, ge=1, le=4096)
    batch: int = Field(default=8, ge=1, le=1024)
    temperature: float = Field(default=0.0, ge=0, le=2)
    instructions: str = ""
    attempts: int = Field(default=1, ge=1, le=10)

    @property
    def manners(self) -> frozenset[str]:
        """Keys that say where and how, and nothing about what is written."""
        return frozenset({"path", "device"})
