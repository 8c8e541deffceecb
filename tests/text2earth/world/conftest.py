"""Fixtures of unbounded painting."""

from __future__ import annotations

import pytest
from small_networks import AnalyticNetwork


@pytest.fixture
def network() -> AnalyticNetwork:
    """A network of 64-px windows, each stage 4× finer, that costs nothing."""
    return AnalyticNetwork()
