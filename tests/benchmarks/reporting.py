"""Time and memory of the report of very large datasets, of which only the index is large.

    python tests/benchmarks/reporting.py --rows 1000000 --rows 10000000

Writes an index (and a list of rejections of half its length) with all columns that a report reads, rows spread over
the land of the globe in clusters at four levels; a few hundred images stand for all. Prints a line a size: rows,
seconds, peak memory of the process that writes the report, and size of the page.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))

from small_dataset import encoded, landscape, make_manifest

from git10m import records
from git10m.grid import Tile
from git10m.publish import index_schema

IMAGES, BATCH = 400, 100_000
COVERS = ("tree cover", "cropland", "water", "built-up land", "bare land")
WORDS = ("river", "forest", "field", "road", "town", "coast", "hill", "lake", "orchard", "quarry", "meadow", "canal")


def main() -> None:
    """Measure each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, action="append")
    for rows in parser.parse_args().rows or [100_000, 1_000_000]:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            write(folder, rows)
            code = (
                "import resource, sys; from pathlib import Path; from git10m.report import write_report;"
                "path = write_report(Path(sys.argv[1]));"
                "used = resource.getrusage(resource.RUSAGE_SELF);"
                "print(used.ru_maxrss // 1024, path.stat().st_size, used.ru_utime + used.ru_stime)"
            )
            start = time.monotonic()
            done = subprocess.run([sys.executable, "-c", code, scratch], capture_output=True, text=True, check=True)
            memory, size, busy = map(float, done.stdout.split())
            wall = time.monotonic() - start
            told = f"{wall:7.1f} s ({busy:.1f} s of one core)  {memory:6,.0f} MiB  {size / 1e6:5.2f} MB"
            print(f"{rows:>12,} rows  {told}", flush=True)


def write(folder: Path, rows: int) -> None:
    """Write a dataset folder of some length."""
    (folder / "data").mkdir()
    image = [{"bytes": encoded(landscape(Tile(12, 2000 + n, 1300))), "path": f"{n}.jpg"} for n in range(IMAGES)]
    pq.write_table(pa.table({"image": pa.array(image, records.IMAGE)}), folder / "data/train-00000-of-00001.parquet")
    generator = np.random.default_rng(0)
    with pq.ParquetWriter(folder / "index.parquet", index_schema(), compression="zstd") as file:
        for start in range(0, rows, BATCH):
            file.write_table(_rows(generator, start, min(BATCH, rows - start)), row_group_size=20_000)
    with pq.ParquetWriter(folder / "rejected.parquet", records.schema(records.Rejection)) as file:
        for start in range(0, rows // 2, BATCH):
            file.write_table(_refusals(generator, min(BATCH, rows // 2 - start)))
    manifest = make_manifest([], [], synthetic=False)
    manifest["counts"] |= {"planned": rows + rows // 2, "kept": rows, "dropped": {"quality": rows // 2}}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _places(generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    level = generator.choice([12, 14, 16, 18], count)
    cluster = generator.integers(0, 300, count)
    x = (0.02 + 0.96 * (cluster * 0.6180339 % 1) + generator.normal(0, 0.004, count)) % 1
    y = np.clip(0.3 + 0.4 * (cluster * 0.7548776 % 1) + generator.normal(0, 0.003, count), 0.01, 0.99)
    return level, (x * 2.0**level).astype(np.int64), (y * 2.0**level).astype(np.int64)


def _rows(generator: np.random.Generator, start: int, count: int) -> pa.Table:
    number = np.arange(start, start + count)
    level, x, y = _places(generator, count)
    lon = (x + 0.5) / 2.0**level * 360 - 180
    lat = np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * (y + 0.5) / 2.0**level))))
    words = generator.choice(WORDS, (count, 30))
    cover = [
        {"land_cover": [{"name": name, "share": 0.6, "part": None}]}
        for name in generator.choice(COVERS, count).tolist()
    ]
    given = {
        "img_name": [f"{n}.jpg" for n in number.tolist()],
        "caption": [" ".join(row) for row in words.tolist()],
        "caption_length": np.full(count, 30),
        "img_quality_score": generator.normal(6, 1, count).clip(0, 10),
        "Google_location": [f"{a}_{b}_{c}" for a, b, c in zip(level.tolist(), x.tolist(), y.tolist(), strict=True)],
        "level": level,
        "x": x,
        "y": y,
        "lon": lon,
        "lat": lat,
        "gsd_m": 2.0 ** (17 - level) * 1.2 * np.cos(np.radians(lat)),
        "width": np.full(count, 256),
        "height": np.full(count, 256),
        "bbox": [{"xmin": a, "ymin": b, "xmax": a, "ymax": b} for a, b in zip(lon.tolist(), lat.tolist(), strict=True)],
        "source_id": generator.choice(["aerial", "satellite", "drone"], count),
        "licence": generator.choice(["CC0-1.0", "CC-BY-4.0"], count),
        "synthetic": np.zeros(count, bool),
        "sha256": ["0" * 64] * count,
        "entropy": generator.normal(6, 1, count).clip(0, 8),
        "caption_source": ["template"] * count,
        "caption_facts": cover,
        "caption_flags": [
            [] if flag else ["contradiction: river"] for flag in (generator.random(count) > 0.02).tolist()
        ],
        "split": generator.choice(["train", "validation", "test"], count, p=[0.9, 0.05, 0.05]),
        "file": ["data/train-00000-of-00001.parquet"] * count,
        "row": number % IMAGES,
    }
    arrays = [
        pa.array(given[field.name], field.type) if field.name in given else pa.nulls(count, field.type)
        for field in index_schema()
    ]
    return pa.table(arrays, schema=index_schema())


def _refusals(generator: np.random.Generator, count: int) -> pa.Table:
    level, x, y = _places(generator, count)
    schema = records.schema(records.Rejection)
    given = {
        "source_id": ["aerial"] * count,
        "layer": ["aerial"] * count,
        "level": level,
        "x": x,
        "y": y,
        "verdict": ["dropped"] * count,
        "reason": ["quality"] * count,
        "detail": ["3.2, at least 4.8 is asked"] * count,
    }
    arrays = [
        pa.array(given[field.name], field.type) if field.name in given else pa.nulls(count, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


if __name__ == "__main__":
    main()
