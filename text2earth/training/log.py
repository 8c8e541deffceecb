"""The log of a run: one JSON object a line, and the same for TensorBoard if it is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from text2earth.errors import ConfigError

__all__ = ["Log", "cut_log"]


class Log:
    """Writes lines to ``log.jsonl``, each whole before the next step.

    Args:
        folder: Of the training.
        stage: Its stage.
        tensorboard: Whether to write events under ``tensorboard/STAGE/`` too.
        write: Whether this process writes at all.
        step: Steps already taken; events beyond it, of a run that was killed, are not shown.

    Raises:
        ConfigError: If TensorBoard is asked for and is not installed.
    """

    def __init__(self, folder: Path, *, stage: str, tensorboard: bool, write: bool, step: int) -> None:
        self._file = (folder / "log.jsonl").open("a", encoding="utf-8") if write else None
        self._stage = stage
        self._events: Any = _events(folder / "tensorboard" / stage, step=step) if write and tensorboard else None

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        if self._events is not None:
            self._events.close()

    def write(self, line: Mapping[str, Any]) -> None:
        """Write one line, which has a ``step``."""
        if self._file is not None:
            self._file.write(json.dumps({"stage": self._stage, **line}) + "\n")
            self._file.flush()
        if self._events is not None:
            for name, value in _scalars(line, prefix=self._stage):
                self._events.add_scalar(name, value, int(line["step"]))


def cut_log(log: Path, *, stage: str, step: int) -> None:
    """Drop the lines of a stage beyond a step: the steps are taken again."""
    if not log.exists():
        return
    kept = []
    for text in log.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:  # half a line, from a kill
            continue
        if line["stage"] != stage or line["step"] <= step:
            kept.append(text + "\n")
    fresh = log.with_suffix(".tmp")
    fresh.write_text("".join(kept), encoding="utf-8")
    fresh.replace(log)


def _events(folder: Path, *, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "run.tensorboard is true, but TensorBoard is not installed; run 'pip install tensorboard', or leave it out "
            "(log.jsonl holds the same figures)"
        ) from error
    writer: Any = SummaryWriter  # torch does not type it
    return writer(str(folder), purge_step=step + 1)


def _scalars(line: Mapping[str, Any], *, prefix: str) -> list[tuple[str, float]]:
    """Return every number of a line under its name, nested ones as ``a/b``."""
    found: list[tuple[str, float]] = []
    for name, value in line.items():
        if isinstance(value, Mapping):
            found += _scalars(value, prefix=f"{prefix}/{name}")
        elif isinstance(value, int | float) and name not in {"step", "counter"}:
            found.append((f"{prefix}/{name}", float(value)))
    return found
