"""Fixtures of exports."""

from __future__ import annotations

import pytest
from made_world import MadeWorld


@pytest.fixture
def world() -> MadeWorld:
    """A world of zooms 2–6."""
    return MadeWorld()
