"""A real browser, where there is one, that says how wide a page is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["width_of"]


def width_of(page: Path, scratch: Path, *, screen: int) -> int:
    """Return the pixels that a page needs from left to right on a screen of some width."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine: the layout of pages is not measured")
    frame = scratch / "frame.html"
    frame.write_text(
        f'<iframe id="f" src="{page.as_uri()}" width="{screen}" height="900"></iframe><script>'
        "f.onload=()=>{document.body.dataset.wide=f.contentDocument.documentElement.scrollWidth}</script>"
    )
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += ["--no-first-run", "--allow-file-access-from-files", f"--user-data-dir={scratch / 'profile'}"]
    dump = subprocess.run(
        [*command, "--dump-dom", frame.as_uri()], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    measured = re.search(r'data-wide="(\d+)"', dump)
    assert measured is not None
    return int(measured.group(1))
