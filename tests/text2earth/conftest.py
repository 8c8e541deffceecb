"""Fixtures of the model's tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_models import nano_config, nano_preset, write_dataset

from text2earth import cli
from text2earth.models import PRESETS
from text2earth.training import train


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """48 tiles of 256 px in two shards of three row groups."""
    yield write_dataset(tmp_path_factory.mktemp("data") / "textures", rows=48, shards=2, group_rows=8)


@pytest.fixture(scope="session", autouse=True)
def nano() -> Iterator[None]:
    """Offer the preset ``nano`` to every test."""
    PRESETS["nano"] = nano_preset()  # type: ignore[index]
    yield
    del PRESETS["nano"]  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def small_tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 tiles of 32 px."""
    return write_dataset(tmp_path_factory.mktemp("data") / "small", rows=24, tile_px=32)


@pytest.fixture(scope="session")
def model_folder(small_tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained ``nano``."""
    folder = tmp_path_factory.mktemp("models") / "nano"
    train(nano_config(small_tiles), output=folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what scans find out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXT2EARTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def run(monkeypatch, capsys):
    """Call the command in this process and return (exit status, stdout, stderr)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["text2earth", *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            cli.main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call
