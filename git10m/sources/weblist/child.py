"""The process in which img2dataset runs: ``python -m git10m.sources.weblist.child ARGUMENTS``.

img2dataset's own worker processes import this module as ``__mp_main__``, which is how they get our opener.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import types
import urllib.request
from typing import Any

from git10m.sources.weblist.manners import SETTINGS, Settings, opener

__all__ = ["main"]

_IDLE = ("albumentations", "wandb", "webdataset")


def _img2dataset() -> Any:
    """Import img2dataset without what it imports but is not asked to use here: five seconds and torch, a process."""
    for name in _IDLE:
        sys.modules.setdefault(name, types.ModuleType(name))
    try:
        return importlib.import_module("img2dataset")
    except AttributeError:
        for name in (*_IDLE, *(each for each in sys.modules if each.startswith("img2dataset"))):
            sys.modules.pop(name, None)
        return importlib.import_module("img2dataset")


def _prepare() -> None:
    """Make this process ask as ours."""
    urllib.request.install_opener(opener(Settings(**json.loads(os.environ[SETTINGS]))))
    _img2dataset()


def _end_with_parent() -> None:
    """End this process and img2dataset's workers when the process that started it is gone."""
    while os.read(0, 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> None:
    """Run img2dataset with the arguments that the command line gives as JSON."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _img2dataset().download(**json.loads(sys.argv[1]))


if __name__ == "__main__":
    main()
elif __name__ == "__mp_main__":
    _prepare()
