"""What a world's pixels depend on, as one fingerprint; and how the same pixels come out each time."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

__all__ = ["code_version", "device_class", "fingerprint", "steady"]

_CODE = ("world", "noise.py", "noise", "models/cascade.py", "sampling/cascade.py")
"""Files of the package, and folders of them, that pixels come out of."""


def fingerprint(facts: Mapping[str, Any]) -> str:
    """Return the SHA-256 of facts that JSON can hold."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def code_version() -> str:
    """Return a digest of the source that paints: between releases the version alone says too little."""
    package = Path(__file__).parents[1]
    files = [
        path for name in _CODE for path in ([package / name] if name.endswith(".py") else package.glob(f"{name}/*.py"))
    ]
    found = hashlib.sha256()
    for path in sorted(path for path in files if path.is_file()):
        found.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]


def device_class(device: torch.device) -> str:
    """Return the kind of machine, all of which compute the same bits."""
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)} {torch.version.cuda}"
    return f"{device.type} {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


@contextmanager
def steady(threads: int) -> Iterator[None]:
    """Compute with a fixed number of threads and with algorithms that repeat themselves; put all back afterwards.

    The settings are the process's own: hold a lock while another thread may compute.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            yield
    finally:
        torch.set_num_threads(before)
