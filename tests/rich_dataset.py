"""A finished dataset with everything that a report can show, and with what data should not hold but may.

Several sources, licences and languages, facts, flags, several captions, further images, enhanced rows, duplicates,
broken pictures; names and captions that would be markup or script if a page let them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_dataset import Contents, encoded, landscape, make_row, write_dataset

from git10m import records
from git10m.grid import Tile
from git10m.publish import write_index

SCRIPT = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
ATTRIBUTE = '" onmouseover="alert(3)" x=\''
ARABIC = "صورة قمر صناعي تظهر نهراً يمر عبر حقول خضراء"
CHINESE = "卫星影像显示北京附近的农田和一条河流"
LONG_WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 3
CAPTIONS = (SCRIPT, ATTRIBUTE, ARABIC, CHINESE, LONG_WORD, "Une prairie près de l'étang, à Besançon.")
COVERS = ("water", "tree cover", 'crop"land <b>', "built-up land")
WRITERS = ("template", "openai", "given")


def facts_of(at: int) -> dict[str, Any]:
    cover = COVERS[at % len(COVERS)]
    return {
        "platform": "satellite",
        "sensor": "Sentinel-2",
        "date": date(2021, 7, 14),
        "season": "summer",
        "place": {"name": "Zürich", "country": "Switzerland", "distance_km": 12.5, "direction": "north-east"},
        "areas": [{"layer": "parks", "name": "Parc national <suisse>"}],
        "land_cover": [
            {"name": cover, "share": 0.61, "part": None},
            {"name": "bare land", "share": 0.3, "part": "centre"},
        ],
        "objects": [{"kind": "building", "count": 3, "name": "Hôtel de Ville", "part": "south-west"}],
        "relief": {"lowest_m": 402.0, "highest_m": 611.0, "slope_deg": 4.2},
    }


def rich_contents() -> Contents:
    contents = Contents()
    corner = Tile.from_lonlat(8.5, 47.4, 14)
    for at in range(72):
        level = (13, 14, 15)[at % 3]
        source = ("north", "south", f"a <i>source</i> & {ATTRIBUTE}")[at // 24]
        tile = Tile(level, (corner.x << 3 >> (17 - level)) + at % 6, (corner.y << 3 >> (17 - level)) + at // 6)
        row = make_row(
            tile,
            source_id=source,
            caption=CAPTIONS[at % len(CAPTIONS)] if at % 4 == 0 else f"Fields by a river, number {at}.",
            date=datetime(2019 + at % 4, 7, 14, tzinfo=UTC),
            image=encoded(landscape(tile, size=64)),
        )
        flags = (
            None if at % 5 == 0 else ["contradiction: river, but no water", f"hedge: {SCRIPT}"] if at % 7 == 0 else []
        )
        contents.rows.append(
            replace(
                row,
                img_name=f"{at}_{tile.name}.jpg",
                image=row.image if at != 40 else {"bytes": row.image["bytes"][:200], "path": "broken.jpg"},
                split=("train", "validation", "test")[(at * 7 // 10) % 3],
                licence=("CC0-1.0", "CC-BY-4.0", None)[at % 3],
                img_quality_score=at / 8,
                aesthetic_score=5 + at / 40,
                similarity_clip=0.2 + at / 1000,
                similarity_siglip=0.05 + at / 1000,
                enhanced="rrdb 0123abcd" if at % 9 == 0 else None,
                caption_source=WRITERS[at % 3],
                caption_version="1",
                caption_facts=facts_of(at),
                caption_flags=flags,
                captions=[row.caption, f"Second caption of {at}", SCRIPT] if at % 6 == 0 else None,
                sources=[
                    {
                        "source_id": source,
                        "source_item": f"{SCRIPT}.tif",
                        "licence": "CC0-1.0",
                        "attribution": "The survey of Zürich & 北京",
                        "acquired_at": None,
                        "share": 1.0,
                    }
                ],
            )
        )
    contents.rejections = [_rejection(contents.rows[at % 60], at) for at in range(36)]
    return contents


def _rejection(row: records.Row, at: int) -> records.Rejection:
    reason = ("near_duplicate", "evaluation_set", "quality", "no_data")[at % 4]
    other = {"near_duplicate": row.img_name, "evaluation_set": f"ucm: {SCRIPT}.tif"}.get(reason)
    return records.Rejection(
        source_id=row.source_id,
        layer="imagery",
        Google_location=row.Google_location,
        level=row.level,
        x=row.x,
        y=row.y,
        lon=row.lon,
        lat=row.lat,
        acquired_at=row.acquired_at,
        verdict="failed" if reason == "no_data" else "dropped",
        reason=reason,
        detail=f"likeness 0.8{at % 10} to {other}"
        if other
        else f"3.2, at least 4.8 is asked {SCRIPT if at == 2 else ''}",
        duplicate_of=other,
        thumbnail=None if reason == "no_data" else {"bytes": row.image["bytes"], "path": "x.jpg"},
    )


def write_rich(folder: Path) -> Path:
    """Write the dataset, with a further image beside each."""
    write_dataset(folder, rich_contents(), synthetic=False)
    shards = sorted((folder / "data").glob("*.parquet"))
    for shard in shards:
        table = pq.read_table(shard)
        table = table.append_column(pa.field("image_nir", records.IMAGE), table["image"].cast(records.IMAGE))
        pq.write_table(table, shard, row_group_size=7)
    write_index(shards, folder / "index.parquet")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {
        "name": f"rich & <b>hostile</b> {ATTRIBUTE}",
        "description": f"Zürich, Besançon, 北京, {ARABIC}. {SCRIPT}",
        "modalities": {"nir": {"bands": [8]}},
        "captions": {"requests": {"requests": 24, "cost": 0.42, "by_model": {"qwen": {"prompt_tokens": 31_200}}}},
        "attributions": [f"The survey {SCRIPT}", "北京市"],
        "recipe": {
            "name": "rich",
            "tiles": {"levels": [13, 14, 15]},
            "curation": {
                "verdicts": {"min_quality": 4.8, "max_white": 0.5},
                "quotas": [{"cover": "water", "above": 0.9, "most": 0.05}],
                "against": [{"name": "ucm", "path": "UCM"}],
            },
            "splits": {"buffer_m": 500, "stratified": True},
        },
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="session")
def rich_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset folder with its report; shared by tests, so none of them changes it."""
    from git10m.report import write_report

    folder = write_rich(tmp_path_factory.mktemp("rich") / "dataset")
    write_report(folder)
    return folder
