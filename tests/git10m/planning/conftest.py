"""A place with a raster, a tile server and an archive, none of which a plan may read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from git10m.building.inputs import Inputs
from git10m.planning import Outlook, look_ahead
from git10m.recipe import parse_recipe
from git10m.sampling import Plan

HEAD = 'name = "planned"\ncaptions.writer = "none"\n'


@pytest.fixture
def looked(tmp_path: Path) -> Callable[..., tuple[Outlook, Inputs, Plan]]:
    """Look ahead at the recipe of some lines."""

    def look(text: str, **said: Any) -> tuple[Outlook, Inputs, Plan]:
        return look_ahead(parse_recipe(HEAD + text), root=tmp_path, folder=tmp_path / "dataset", **said)

    return look
