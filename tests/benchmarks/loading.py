"""Rows a second of the loader, beside streaming with datasets: same rows, decoder, shuffle and workers.

    python tests/benchmarks/loading.py [--rows 20000] [--rounds 5] [--workers 2] [--shards 10000] [--part NAME]

Both sides give the same thing: lists of (image, caption, level) in batches, through a DataLoader's worker processes,
shuffled within a window of as many rows. ``undecoded`` leaves the image as bytes, ``decoded`` makes uint8 pixels with
Pillow, stacked to a tensor. Rounds are interleaved, each a process of its own; its first batches, with the start of
the workers, are not timed. ``start`` opens many shards, with and without a kept index. ``shuffle`` compares windows
with a full shuffle: the spread of batches' means over that of independent draws.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

BATCH, WARM_UP, GROUP_ROWS = 32, 30, 500
WINDOW_GROUPS = 8
"""Of both sides: 4,000 rows, so that the peer's buffer fills in the rows that are not timed."""


def make_shards(folder: Path, *, rows: int, shards: int) -> None:
    """Write JPEG tiles of 256 px, textures of the tests, in row groups of 500."""
    from small_models import row, texture

    from git10m import records
    from git10m.shards import write_table

    (folder / "data").mkdir(parents=True)
    images = []
    for number in range(40):
        encoded = io.BytesIO()
        pixels = texture(["water", "forest", "fields", "town"][number % 4], level=14, seed=number)
        Image.fromarray(pixels).save(encoded, "JPEG", quality=75)
        images.append(encoded.getvalue())
    template = records.table([row(number) for number in range(40)])
    for shard, members in enumerate(np.array_split(np.arange(rows), shards)):
        table = template.take(members % 40)
        content = [{"bytes": images[number % 40], "path": f"{number}.jpg"} for number in members]
        for name, values in (("image", content), ("img_name", [f"{number}.jpg" for number in members])):
            place = table.schema.get_field_index(name)
            table = table.set_column(place, table.schema.field(name), [values])
        name = folder / "data" / f"train-{shard:05d}-of-{shards:05d}.parquet"
        write_table(table.cast(records.table([row(0)]).schema), name, row_group_rows=GROUP_ROWS)
    print(f"{rows:,} rows in {shards} shards, {np.mean([len(image) for image in images]) / 1000:.0f} kB an image")


def ours(folder: Path, *, decoded: bool, workers: int) -> Iterator[int]:
    """Yield the size of each batch."""
    from text2earth.data import Examples, RowFilter, View, batches, encoded_batches, scan

    examples = Examples(scan(str(folder), rows=RowFilter()), view=View(256), seed=0, window_groups=WINDOW_GROUPS)
    positions = (list(range(start, start + BATCH)) for start in count(0, BATCH))
    if decoded:
        yield from (len(batch.names) for batch in batches(examples, positions=positions, workers=workers))
    else:
        yield from (len(rows) for rows in encoded_batches(examples, positions=positions, workers=workers))


def collate(rows: list[dict[str, Any]]) -> tuple[Any, list[str], list[int]]:
    """Batch rows of datasets as ours are batched."""
    images = [row["image"] for row in rows]
    if not isinstance(images[0], dict):
        stacked = torch.from_numpy(np.stack([np.asarray(image.convert("RGB")) for image in images]))
        images = stacked.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1.0
    return images, [row["caption"] for row in rows], [row["level"] for row in rows]


def peer(folder: Path, *, decoded: bool, workers: int) -> Iterator[int]:
    """Yield the size of each batch."""
    import datasets

    stream = datasets.load_dataset(
        "parquet", data_files=str(folder / "data" / "*.parquet"), split="train", streaming=True,
        columns=["image", "img_name", "caption", "level"],
    )  # fmt: skip
    stream = stream.cast_column("image", datasets.Image(decode=decoded))
    stream = stream.shuffle(seed=0, buffer_size=WINDOW_GROUPS * GROUP_ROWS // max(1, workers)).repeat(None)
    loader = torch.utils.data.DataLoader(stream, batch_size=BATCH, num_workers=workers, collate_fn=collate)
    yield from (len(captions) for _, captions, _ in loader)


SIDES = {"ours": ours, "datasets": peer}


def one_round(side: str, folder: Path, *, decoded: bool, workers: int, rows: int) -> None:
    """Print the rows a second of one side, then leave at once: a stream that is left early may hang at exit."""
    torch.set_num_threads(1)
    batches = SIDES[side](folder, decoded=decoded, workers=workers)
    # The peer fills its buffers first, of both workers; ours reads its first windows.
    for _ in islice(batches, WARM_UP):
        pass
    start, seen = time.perf_counter(), 0
    while seen < rows:
        seen += next(batches)
    print(json.dumps({"rate": seen / (time.perf_counter() - start)}), flush=True)
    os._exit(0)


def race(folder: Path, *, decoded: bool, workers: int, rounds: int, rows: int) -> None:
    """Time both sides in turn and print medians."""
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side in SIDES:
            command = [sys.executable, __file__, "--round", side, str(folder), "--workers", str(workers)]
            command += ["--rows", str(rows), *(["--decoded"] if decoded else [])]
            # A file, not a pipe: workers that outlive their parent for a moment hold pipes open.
            with tempfile.TemporaryFile() as said_by:
                subprocess.run(command, stdout=said_by, stderr=subprocess.DEVNULL, check=True, timeout=600)
                said_by.seek(0)
                rates[side].append(json.loads(said_by.read().splitlines()[-1])["rate"])
    said = {side: f"{statistics.median(each):,.0f} ({min(each):,.0f}–{max(each):,.0f})" for side, each in rates.items()}
    ratio = statistics.median(one / other for one, other in zip(rates["ours"], rates["datasets"], strict=True))
    kind = "decoded" if decoded else "undecoded"
    print(f"{kind}, {workers} workers: {said} rows/s, median ratio of rounds {ratio:.2f}", flush=True)


def start_up(folder: Path, *, shards: int) -> None:
    """Time the opening of many small shards, before and after their index is kept, and the first batch."""
    from text2earth.data import Examples, RowFilter, View, batches, scan

    make_shards(folder / "one", rows=20, shards=1)
    (source,) = (folder / "one" / "data").iterdir()
    content = source.read_bytes()
    (folder / "many" / "data").mkdir(parents=True)
    for shard in range(shards):
        (folder / "many" / "data" / f"train-{shard:05d}-of-{shards:05d}.parquet").write_bytes(content)
    os.environ["TEXT2EARTH_CACHE"] = str(folder / "cache")
    for kind in ("first time", "index kept", "index kept"):
        start = time.perf_counter()
        index = scan(str(folder / "many"), rows=RowFilter())
        scanned = time.perf_counter()
        next(batches(Examples(index, view=View(256), seed=0), positions=[[0]]))
        print(
            f"{shards:,} shards, {kind}: {scanned - start:.2f} s to know the rows, "
            f"{time.perf_counter() - start:.2f} s to the first image",
            flush=True,
        )


def shuffles() -> None:
    """Print how batches of windows scatter beside those of a full shuffle, at 1 million rows."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "text2earth" / "data"))
    from test_order import clustered, index_of, spread_of_batches

    from text2earth.data import Order

    rows = 1_000_000
    levels, places = clustered(rows)
    features, index = np.column_stack([levels, places]), index_of(levels, group_rows=GROUP_ROWS)
    orders = {"full shuffle": np.random.default_rng(0).permutation(rows)}
    for window in (16, 64, 128, 256):
        stratum = Order(index, seed=0, window_groups=window)._strata[0]
        orders[f"window of {window} groups"] = np.array([stratum.row(0, place) for place in range(rows)])
    for name, order in orders.items():
        for size in (32, 256):
            spread = spread_of_batches(features, order, size=size).round(2)
            print(f"{name}, batches of {size}: spread of mean level, x, y {spread}", flush=True)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--part", choices=["undecoded", "decoded", "start", "shuffle"])
    parser.add_argument("--round", nargs=2, metavar=("SIDE", "FOLDER"))
    parser.add_argument("--decoded", action="store_true")
    asked = parser.parse_args()
    if asked.round is not None:
        side, folder = asked.round
        one_round(side, Path(folder), decoded=asked.decoded, workers=asked.workers, rows=asked.rows)
        return
    parts = [asked.part] if asked.part else ["undecoded", "decoded", "start", "shuffle"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if {"undecoded", "decoded"} & set(parts):
            make_shards(folder / "set", rows=asked.rows, shards=8)
        for kind in parts:
            if kind == "start":
                start_up(folder, shards=asked.shards)
            elif kind == "shuffle":
                shuffles()
            else:
                # Undecoded rows are quick: more of them are timed.
                rows = asked.rows * 2 if kind == "undecoded" else asked.rows // 5
                race(folder / "set", decoded=kind == "decoded", workers=asked.workers, rounds=asked.rounds, rows=rows)


if __name__ == "__main__":
    main()
