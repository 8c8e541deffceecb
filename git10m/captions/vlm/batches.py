"""Requests as files in OpenAI's batch format, and the answers out of the files that come back.

A batch costs about half and takes up to a day. Each line is a request whose ``custom_id`` is the hash of its body, by
which its answer is found again; files keep within the service's limits of requests and bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from git10m import recipe
from git10m.captions.subjects import Judge, Picture
from git10m.captions.vlm.answers import Answers
from git10m.captions.vlm.conversation import Ask, Conversations
from git10m.captions.vlm.ledger import Ledger
from git10m.errors import RequestError

__all__ = ["MOST_BYTES", "MOST_REQUESTS", "BatchFiles", "Imported", "import_answers", "open_requests"]

MOST_REQUESTS = 50_000
MOST_BYTES = 200 * 10**6
"""Of a file; the service takes fewer than this."""


class BatchFiles:
    """Writes requests to numbered JSONL files; use it as a context manager.

    Args:
        folder: Made where there is none; files of an earlier export there are replaced.
        most_requests: Of a file, and no more than the service takes.
        most_bytes: Of a file, and no more than the service takes.

    Raises:
        RequestError: If one request alone is larger than a file may be.
    """

    def __init__(
        self, folder: Path, *, most_requests: int = MOST_REQUESTS - 1, most_bytes: int = MOST_BYTES - 1
    ) -> None:
        self.folder, self.requests = folder, 0
        self.files: list[Path] = []
        self._most_requests, self._most_bytes = most_requests, most_bytes
        self._file: IO[bytes] | None = None
        self._lines = self._bytes = 0
        self._seen: set[bytes] = set()

    def __enter__(self) -> BatchFiles:
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.glob("requests-*.jsonl"):
            old.unlink()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, ask: Ask) -> None:
        """Write a request, once."""
        if (key := bytes.fromhex(ask.key)) in self._seen:
            return
        self._seen.add(key)
        request = {"custom_id": ask.key, "method": "POST", "url": "/v1/chat/completions", "body": ask.body}
        line = json.dumps(request, ensure_ascii=False).encode() + b"\n"
        if len(line) > self._most_bytes:
            raise RequestError(
                f"one request has {len(line):,} bytes, a batch file at most {self._most_bytes:,}; set side_px to send "
                "smaller images"
            )
        if self._file is None or self._lines >= self._most_requests or self._bytes + len(line) > self._most_bytes:
            self._next_file()
        assert self._file is not None
        self._file.write(line)
        self._lines, self._bytes = self._lines + 1, self._bytes + len(line)
        self.requests += 1

    def _next_file(self) -> None:
        if self._file is not None:
            self._file.close()
        self.files.append(self.folder / f"requests-{len(self.files):05d}.jsonl")
        self._file, self._lines, self._bytes = self.files[-1].open("wb"), 0, 0


@dataclass
class Imported:
    """What came of batch files.

    Attributes:
        answered: Requests that were answered, and were not before.
        known: Requests whose answer was here already.
        failed: Requests that failed, by reason.
        unreadable: Lines that are no result, as ``"file: line"``.
        prompt_tokens: Of new answers.
        completion_tokens: Of new answers.
    """

    answered: int = 0
    known: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        tokens = {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}
        counts = {"answered": self.answered, "known": self.known, "failed": dict(sorted(self.failed.items()))}
        return {**counts, "unreadable": len(self.unreadable), **tokens}


def open_requests(
    captions: recipe.Captions, pictures: Iterable[Sequence[Picture]], *, store: Path, judge: Judge
) -> Iterator[Ask]:
    """Yield the next request of every picture of which an answer is missing.

    Args:
        captions: What the recipe says; ``captions.openai`` is there.
        pictures: Chunks of pictures.
        store: Folder of answers, where the recipe names no other.
        judge: Says what is wrong with a caption.
    """
    assert captions.openai is not None
    talk = Conversations(captions)
    answers = Answers(Path(captions.openai.cache) if captions.openai.cache else store)
    try:
        for chunk in pictures:
            for picture in chunk:
                if (ask := _open_request(talk, answers, picture, judge)) is not None:
                    yield ask
    finally:
        answers.close()


def _open_request(talk: Conversations, answers: Answers, picture: Picture, judge: Judge) -> Ask | None:
    asks = talk.about(picture, judge)
    try:
        ask = next(asks)
        while (text := answers.get(ask.key)) is not None:
            ask = asks.send(text)
    except StopIteration:
        return None
    return ask


def import_answers(files: Sequence[Path], model: recipe.OpenAIWriter, *, store: Path) -> Imported:
    """Take the answers out of result files, and note in the ledger what they cost.

    Args:
        files: Output and error files of the service.
        model: With prices, and the folder of answers where there is one.
        store: Folder of the ledger, and of answers where the recipe names no other.

    Raises:
        RequestError: If a file cannot be read.
    """
    found = Imported()
    answers, ledger = Answers(Path(model.cache) if model.cache else store), Ledger(store, model=model)
    try:
        for path in files:
            for number, line in enumerate(_lines(path), start=1):
                if line.strip():
                    _take(line, f"{path.name}: line {number}", answers, ledger, found)
    finally:
        answers.close()
        ledger.close()
    return found


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror}); give result files of a batch") from error


def _take(line: bytes, where: str, answers: Answers, ledger: Ledger, found: Imported) -> None:
    try:
        result = json.loads(line)
        key, response, error = result["custom_id"], result.get("response"), result.get("error")
        bytes.fromhex(key)
        body = (response or {}).get("body") or {}
        status = int((response or {}).get("status_code") or 0)
    except (ValueError, KeyError, TypeError, AttributeError):
        found.unreadable.append(where)
        return
    if answers.get(key) is not None:
        found.known += 1
        return
    try:
        text = body["choices"][0]["message"]["content"] if status == 200 and not error else None
    except (KeyError, IndexError, TypeError):
        text = None
    if not isinstance(text, str):
        found.failed[_reason(error or body.get("error"), status)] += 1
        return
    usage = body.get("usage") or {}
    prompt, completion = (int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens"))
    answers.put(key, text)
    ledger.note(key, "batch", prompt=prompt, completion=completion)
    found.answered += 1
    found.prompt_tokens += prompt
    found.completion_tokens += completion


def _reason(error: Any, status: int) -> str:
    if isinstance(error, dict):
        return str(error.get("code") or error.get("type") or error.get("message") or status)
    return str(error or (f"status {status}" if status != 200 else "no text"))
