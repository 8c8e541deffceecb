"""The command ``git10m``: parses, calls, prints."""

from __future__ import annotations

import sys

from git10m.cli import building, classifying, looking, releasing, restoring
from git10m.cli.asking import app, tell
from git10m.errors import Git10mError

__all__ = ["app", "building", "classifying", "looking", "main", "releasing", "restoring"]


def main() -> None:
    """Run the command; errors of ours become one message and an exit code, 1 or 2."""
    try:
        app()
    except Git10mError as error:
        tell(f"git10m: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        tell("git10m: interrupted; run the same command again to go on")
        sys.exit(130)
