"""Fixtures that several rooms' tests share."""

import os
from pathlib import Path

import pytest
from mixed_dataset import mixed_dataset
from rich_dataset import rich_dataset
from servers import range_server, s3_process, s3_server, stac_api, stac_catalog, titiler
from small_dataset import small_dataset, synthetic_dataset

__all__ = [
    "imagery",
    "mixed_dataset",
    "range_server",
    "rich_dataset",
    "s3_process",
    "s3_server",
    "small_dataset",
    "stac_api",
    "stac_catalog",
    "synthetic_dataset",
    "titiler",
]

# Before anything imports the libraries that read them: tests ask no server, not even for an update.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"


@pytest.fixture(scope="session")
def imagery() -> Path:
    """Folder of real imagery, which is in no repository; tests that need it skip where it is not at hand."""
    folder = os.environ.get("GIT10M_IMAGERY")
    if not folder:
        pytest.skip("GIT10M_IMAGERY is unset: no folder of real imagery to read")
    if not (Path(folder) / "rasters").is_dir():
        pytest.skip(f"GIT10M_IMAGERY = {folder} has no folder 'rasters'")
    return Path(folder)
