"""Memory and time of what publication does with an index of many rows, and of writing tars.

    python tests/benchmarks/publishing.py [--rows 1000000] [--samples 4000]

Survey, licences, selection, the index of what is left and the scenes are each read or written in one pass; the peak is
that of the whole process. Tars of noise are written by git10m and, as its peer, by webdataset's own writer.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))

from small_dataset import small_contents, write_dataset

from git10m.publish.index import index_schema
from git10m.publish.selection import select, write_left_index
from git10m.publish.stac import write_scenes
from git10m.publish.survey import survey
from git10m.publish.tars import plan_tars, write_tar

SHARD_ROWS = 13_000


def main() -> None:
    """Run it, each part in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--samples", type=int, default=4_000)
    parser.add_argument("--part", nargs=2, metavar=("NAME", "FOLDER"))
    asked = parser.parse_args()
    if asked.part is not None:
        {"index": use_index, "tars": write_tars}[asked.part[0]](Path(asked.part[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for rows in (asked.rows // 10, asked.rows):
            make_index(folder, rows)
            run("index", folder)
        noise_dataset(folder / "noise", asked.samples)
        run("tars", folder / "noise")


def run(part: str, folder: Path) -> None:
    subprocess.run([sys.executable, __file__, "--part", part, str(folder)], check=True)


def make_index(folder: Path, count: int) -> None:
    """Write an index of many rows, 53 places over and over, in shards that are not there."""
    base = pq.read_table(write_dataset(folder / f"base-{count}", small_contents(), synthetic=False) / "index.parquet")
    schema, shards = index_schema(), -(-count // SHARD_ROWS)
    with pq.ParquetWriter(folder / "index.parquet", schema, compression="zstd") as writer:
        for start in range(0, count, 20_000):
            numbers = np.arange(start, min(start + 20_000, count))
            table = base.take(pa.array(numbers % base.num_rows))
            files = [f"data/train-{number // SHARD_ROWS:05d}-of-{shards:05d}.parquet" for number in numbers]
            columns = {"img_name": [f"{number}.jpg" for number in numbers], "file": files,
                       "row": pa.array(numbers % SHARD_ROWS, pa.int32())}  # fmt: skip
            for column, values in columns.items():
                table = table.set_column(table.schema.get_field_index(column), column, pa.array(values))
            writer.write_table(table.cast(schema))
    manifest = json.loads((folder / f"base-{count}/manifest.json").read_text())
    manifest["files"] = {f"data/train-{shard:05d}-of-{shards:05d}.parquet": {} for shard in range(shards)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def use_index(folder: Path) -> None:
    """Time each pass over the index."""
    manifest, index = json.loads((folder / "manifest.json").read_text()), folder / "index.parquet"
    start = time.perf_counter()
    whole = survey(index)
    say(f"survey of {whole.rows:,} rows", start)
    start = time.perf_counter()
    selection = select(folder, manifest, refused=list(whole.refused), whole=whole)
    say(f"selection, {selection.survey.rows:,} left", start)
    start = time.perf_counter()
    write_left_index(selection, folder / "left.parquet")
    say("index of what is left", start)
    start = time.perf_counter()
    write_scenes(index, manifest, folder / "scenes.parquet")
    say("scenes", start)


def noise_dataset(folder: Path, count: int) -> None:
    """Write a dataset whose images are 30 kB of noise; nothing here decodes them."""
    contents, rng = small_contents(), np.random.default_rng(0)
    rows = contents.rows[:50]
    contents.rows = [
        replace(rows[number % 50], img_name=f"{number}.jpg", split="train",
                image={"bytes": rng.bytes(30_000), "path": f"{number}.jpg"})
        for number in range(count)
    ]  # fmt: skip
    write_dataset(folder, contents, synthetic=False, row_group_rows=500)


def write_tars(folder: Path) -> None:
    """Write the same samples twice."""
    import webdataset

    manifest = json.loads((folder / "manifest.json").read_text())
    selection = select(folder, manifest, refused=(), whole=survey(folder / "index.parquet"))
    start = time.perf_counter()
    for tar in plan_tars(selection):
        write_tar(selection, tar, folder / Path(tar.name).name)
    say("tars, git10m", start)
    start = time.perf_counter()
    with webdataset.TarWriter(str(folder / "peer.tar")) as writer:
        for name in selection.names:
            for table in selection.tables(name):
                for row in table.to_pylist():
                    image, text = row.pop("image")["bytes"], row["caption"] or ""
                    said = json.dumps(row, default=str)
                    writer.write({"__key__": row["img_name"][:-4], "jpg": image, "txt": text, "json": said.encode()})
    say("tars, webdataset's writer", start)


def say(what: str, start: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{what}: {time.perf_counter() - start:.1f} s, peak {peak} MiB", flush=True)


if __name__ == "__main__":
    main()
