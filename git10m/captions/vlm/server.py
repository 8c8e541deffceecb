"""Captions by a model behind a server that speaks OpenAI's API."""

from __future__ import annotations

import asyncio
import email.utils
import json
import os
import random
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from git10m import recipe
from git10m.captions.subjects import Judge, Picture, Written
from git10m.captions.vlm.answers import Answers
from git10m.captions.vlm.conversation import Ask, Conversations
from git10m.captions.vlm.ledger import Ledger
from git10m.errors import CaptionError, RequestError

__all__ = ["ServerWriter", "check_client", "key_of", "retry_after"]

_PASSING = frozenset({408, 409, 425, 429})
"""Refusals that may pass, beside all of 5xx."""
_REFUSED_CONTENT = frozenset({"content_filter", "content_policy_violation", "invalid_image", "image_parse_error"})
"""OpenAI's and Azure's codes for an image that their rules forbid: a fault of one tile."""
_LONGEST_PAUSE_S = 3600.0
_BACK_OFF_S, _LONGEST_BACK_OFF_S = 0.5, 60.0
_FIRST_TRIES = 3
"""Of a server that has not answered once: it is not there, rather than busy."""


_UNREACHED = "cannot be reached"


class _NoCaptionError(Exception):
    """The server does not answer about one picture, but about others."""


class ServerWriter:
    """Asks a server about pictures, several at once; what was answered before is not asked again.

    Args:
        captions: What the recipe says; ``captions.openai`` is there.
        store: Folder of the ledger, and of the answers where the recipe names no other.

    Raises:
        RequestError: If the package ``openai`` is missing.
    """

    def __init__(self, captions: recipe.Captions, *, store: Path) -> None:
        assert captions.openai is not None
        check_client()
        self._model = captions.openai
        self._talk = Conversations(captions)
        self._key: str | None = None
        self._client: Any = None
        self._answers = Answers(Path(captions.openai.cache) if captions.openai.cache else store)
        self._ledger = Ledger(store, model=captions.openai)
        self._answered = 0
        self._failure: CaptionError | None = None

    @property
    def needs_images(self) -> bool:
        """Whether images are sent."""
        return self._talk.sees

    def write(self, pictures: Sequence[Picture], *, judge: Judge) -> list[Written | None]:
        """Return the captions of each picture.

        Raises:
            CaptionError: If the server cannot be reached, refuses the key or the request, or the budget is spent. What
                was answered until then is kept.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self._all(pictures, judge))
        with ThreadPoolExecutor(1) as aside:  # a notebook has a loop of its own
            return aside.submit(asyncio.run, self._all(pictures, judge)).result()

    async def _all(self, pictures: Sequence[Picture], judge: Judge) -> list[Written | None]:
        places = asyncio.Semaphore(self._model.concurrency)

        async def one(picture: Picture) -> Written | None:
            async with places:
                return await self._about(picture, judge)

        self._failure = None
        try:
            # Whatever is under way when one fails is paid for: it ends, and its answer is kept.
            found = await asyncio.gather(*(one(picture) for picture in pictures), return_exceptions=True)
        finally:
            if self._client is not None:
                await self._client.close()
                self._client = None  # its connections belong to this loop
        if self._failure is not None:
            raise self._failure
        for each in found:
            if isinstance(each, BaseException):
                raise each
        return [each for each in found if not isinstance(each, BaseException)]

    async def _about(self, picture: Picture, judge: Judge) -> Written | None:
        asks = self._talk.about(picture, judge)
        try:
            ask = next(asks)
            while True:
                text = self._answers.get(ask.key)
                ask = asks.send(await self._asked(ask) if text is None else text)
        except StopIteration as end:
            return None if end.value is None else Written(end.value, "openai", self._talk.version)
        except _NoCaptionError:
            return None
        except CaptionError as error:
            self._failure = self._failure or error
            raise

    async def _asked(self, ask: Ask) -> str:
        """Send a request until it is answered, and keep the answer."""
        if self._client is None:  # a run to which every answer is known needs no key
            self._key = key_of(self._model)
            self._client = _client(self._model, self._key)
        before = self._answered
        for tried in range(self._model.retries + 1):
            number = await self._turn(ask, again=tried > 0)
            text, wait, said = await self._sent(ask, number)
            if text is not None:
                self._answered += 1
                return text
            if not self._answered and tried + 1 >= _FIRST_TRIES and said.startswith(_UNREACHED):
                break
            if tried < self._model.retries:
                await self._rest(wait, tried)
        if self._answered > before:
            raise _NoCaptionError  # it answers others
        raise CaptionError(
            f"{self._where}: {said}, {tried + 1} times; what was answered is kept: "
            "see that the server runs, and run the same command again to go on"
        )

    async def _turn(self, ask: Ask, *, again: bool) -> int:
        """Wait for the pace that all processes share; return the request's number in the ledger."""
        while True:
            if self._failure is not None:
                raise self._failure
            turn = self._ledger.begin(ask.key, again=again, tokens=ask.tokens)
            if isinstance(turn, int):
                return turn
            await asyncio.sleep(turn + random.random() * 0.01)

    async def _rest(self, wait: float | None, tried: int) -> None:
        if wait is None:
            grown = min(_LONGEST_BACK_OFF_S, _BACK_OFF_S * 2**tried)
            await asyncio.sleep(grown * (0.5 + random.random()))
        elif wait > _LONGEST_PAUSE_S:
            raise CaptionError(f"{self._where}: asks to wait {wait:.0f} s; run the same command again after that")
        else:
            self._ledger.pause(wait)  # for all processes; the next turn waits it out

    async def _sent(self, ask: Ask, number: int) -> tuple[str | None, float | None, str]:
        """Send a request once; return (the answer's text, seconds that the server asks to wait, what went wrong)."""
        import openai  # noqa: PLC0415 - an extra

        try:
            async with asyncio.timeout(self._model.timeout_s):
                answer = await self._client.chat.completions.create(**_arguments(ask.body))
        except (TimeoutError, openai.APITimeoutError):
            self._ledger.end(number, "timeout")
            return None, None, f"no answer within {self._model.timeout_s:g} s"
        except openai.APIStatusError as error:
            self._ledger.end(number, str(error.status_code))
            return None, *self._refused(error)
        except openai.APIConnectionError as error:
            self._ledger.end(number, "unreachable")
            return None, None, f"{_UNREACHED} ({_root(error)})"
        except (openai.APIError, ValueError) as error:
            self._ledger.end(number, "no answer")
            return None, None, self._not_an_api(str(error))
        if (text := _text_of(answer)) is None:
            self._ledger.end(number, "no answer")
            return None, None, self._not_an_api(str(answer))
        # Kept before anything else: from here on it is never asked for again.
        self._answers.put(ask.key, text)
        usage = getattr(answer, "usage", None)
        prompt, completion = (int(getattr(usage, name, 0) or 0) for name in ("prompt_tokens", "completion_tokens"))
        self._ledger.end(number, "200", prompt=prompt, completion=completion)
        return text, None, ""

    def _refused(self, error: Any) -> tuple[float | None, str]:
        """Return (seconds to wait, what was said) of a refusal that may pass; raise for one that will not."""
        status, said = error.status_code, self._without_key(_message(error))
        if status == 429 and error.code == "insufficient_quota":
            raise CaptionError(f"{self._where}: the account has no credit left ({said})")
        if status in _PASSING or status >= 500:
            return retry_after(error.response.headers, now=time.time()), f"answers {status} ({said})"
        if error.code in _REFUSED_CONTENT:
            raise _NoCaptionError
        variable = self._model.api_key or "OPENAI_API_KEY"
        if status in {401, 403}:
            key = (
                f"the key in {variable}"
                if self._key
                else f"no key was given: name its variable, api_key = {variable!r}"
            )
            raise CaptionError(f"{self._where}: access is refused, {status} ({said}); {key}")
        if status == 404:
            hint = f"see that the server has the model {self._model.model!r} and that base_url is right (mostly …/v1)"
            raise CaptionError(f"{self._where}: not found, 404 ({said}); {hint}")
        raise CaptionError(f"{self._where}: refuses the request, {status} ({said}); change [captions.openai]")

    def _not_an_api(self, said: str) -> str:
        what = f"what comes is no answer of OpenAI's API ({self._without_key(said)[:120]!r})"
        if not self._answered:
            raise CaptionError(f"{self._where}: {what}; see that base_url is the API's, mostly …/v1")
        return what

    @property
    def _where(self) -> str:
        return f"captions.openai, {self._model.base_url or 'api.openai.com'}"

    def _without_key(self, said: str) -> str:
        if self._key:
            said = said.replace(self._key, "[key]")
        return " ".join(re.sub(r"\b(sk|hf)[-_][\w*.-]{6,}", "[key]", said).split())[:300]


def key_of(model: recipe.OpenAIWriter) -> str | None:
    """Return the key from the environment; None where the recipe asks for none.

    Raises:
        CaptionError: If the variable is not set.
    """
    variable = model.api_key or (None if model.base_url else "OPENAI_API_KEY")
    if variable is None:
        return None
    if key := os.environ.get(variable, "").strip():
        return key
    raise CaptionError(f"captions.openai: the environment variable {variable} is not set; put the server's key into it")


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Return the seconds that ``Retry-After`` asks to wait: a number, or a date; None where it says nothing.

    Args:
        headers: Of the answer.
        now: Unix time.
    """
    said = (headers.get("retry-after") or "").strip()
    if re.fullmatch(r"-?\d+(\.\d+)?", said):
        return max(0.0, float(said))
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - now)
    except ValueError:
        return None


def check_client() -> None:
    """Raise RequestError where the package ``openai`` is missing."""
    if find_spec("openai") is None:
        raise RequestError("captions.writer = 'openai' needs the package openai: pip install 'git10m[openai]'")


def _client(model: recipe.OpenAIWriter, key: str | None) -> Any:
    check_client()
    import openai  # noqa: PLC0415 - an extra

    base_url = model.base_url or "https://api.openai.com/v1"
    return openai.AsyncOpenAI(api_key=key or "none", base_url=base_url, timeout=model.timeout_s, max_retries=0)


def _arguments(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body as the client's arguments; keys that it does not know go as they are."""
    known = {"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "seed", "response_format"}
    extra = {name: value for name, value in body.items() if name not in known}
    return {name: body[name] for name in body if name in known} | ({"extra_body": extra} if extra else {})


def _text_of(answer: Any) -> str | None:
    """Return what the model said; None where the answer is not of the API's form."""
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list) or not choices or (message := getattr(choices[0], "message", None)) is None:
        return None
    said = message.content if isinstance(message.content, str) else getattr(message, "refusal", None)
    return said if isinstance(said, str) else ""


def _message(error: Any) -> str:
    body = error.body
    if isinstance(body, Mapping) and isinstance(body.get("message"), str):
        return str(body["message"])
    return json.dumps(body) if isinstance(body, Mapping) else str(error.message)


def _root(error: BaseException) -> str:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return str(error) or type(error).__name__
