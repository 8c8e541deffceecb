"""Encoders beside transformers' own loop, and the search for near vectors beside faiss' exhaustive one.

    python tests/benchmarks/embeddings.py [--images 60] [--vectors 200000 1000000] [--queries 2000]

Encoders have the shapes of ViT-B/32 (CLIP) and SigLIP-base with random weights, which cost what trained ones do; ours
runs in as many processes as there are cores, one thread each, as a build does, and the peer in one process with all of
them. Vectors lie around 2,000 directions with a falling spectrum, and every twentieth is a copy of another at a cosine
of 0.955–0.999. The peer of the search is asked for some of the vectors, and its time for all is reckoned from that.
Seconds are of the processor, so that they mean something on a busy machine; images a second are of the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

LEAST, WIDTH = 0.96, 512


def write_model(folder: Path, kind: str) -> None:
    """A model of the shape that is published, with random weights."""
    import torch
    import transformers

    torch.manual_seed(0)
    if kind == "clip":
        transformers.CLIPModel(transformers.CLIPConfig()).save_pretrained(folder)
        transformers.CLIPImageProcessorPil().save_pretrained(folder)
    else:
        vision = {"hidden_size": 768, "image_size": 256, "patch_size": 16}
        transformers.SiglipModel(transformers.SiglipConfig(vision_config=vision)).save_pretrained(folder)
        transformers.SiglipImageProcessorPil(size={"height": 256, "width": 256}).save_pretrained(folder)


def pictures(count: int) -> list[np.ndarray]:
    draws = np.random.default_rng(0)
    return [draws.integers(0, 256, (256, 256, 3), dtype=np.uint8) for _ in range(count)]


def encode(folder: str, count: int) -> float:
    from git10m.curation.encoders import open_encoder

    encoder = open_encoder(Path(folder))
    start = time.perf_counter()
    encoder.images(pictures(count))
    return time.perf_counter() - start


def theirs(folder: Path, kind: str, count: int) -> float:
    """Transformers' processor and model, twenty images at a time."""
    import torch
    import transformers

    torch.set_num_threads(os.cpu_count() or 1)
    model = transformers.AutoModel.from_pretrained(folder)
    name = "CLIPImageProcessorPil" if kind == "clip" else "SiglipImageProcessorPil"
    processor = getattr(transformers, name).from_pretrained(folder)
    images = pictures(count)
    start = time.perf_counter()
    for at in range(0, count, 20):
        with torch.inference_mode():
            model.get_image_features(**processor(images[at : at + 20], return_tensors="pt"))
    return time.perf_counter() - start


def measure_encoders(images: int) -> None:
    cores = os.cpu_count() or 1
    for kind in ("clip", "siglip"):
        with tempfile.TemporaryDirectory() as name:
            write_model(Path(name), kind)
            with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
                slowest = max(pool.map(encode, [name] * cores, [images // cores] * cores))
            ours, peer = images / slowest, images / theirs(Path(name), kind, images)
            print(
                json.dumps({"encoder": kind, "images_s": round(ours, 1), "transformers_s": round(peer, 1)}), flush=True
            )


def write_vectors(path: Path, count: int) -> None:
    draws = np.random.default_rng(0)
    spectrum = 1.0 / np.arange(1, WIDTH + 1) ** 0.5
    centres = draws.normal(size=(2000, WIDTH)) * spectrum
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(count, WIDTH))
    for at in range(0, count, 20_000):
        part = centres[draws.integers(0, 2000, min(20_000, count - at))]
        part = unit(part + 0.45 * draws.normal(size=part.shape) * spectrum)
        copies = len(part) // 20
        cosine = draws.uniform(0.955, 0.999, (copies, 1))
        other = draws.normal(size=(copies, WIDTH))
        other = unit(other - (other * part[:copies]).sum(axis=1, keepdims=True) * part[:copies])
        part[-copies:] = cosine * part[:copies] + np.sqrt(1 - cosine**2) * other
        out[at : at + len(part)] = part
    out.flush()


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def search(path: str, count: int) -> None:
    """Run in a process of its own: seconds, memory that is not the file's, and what goes."""
    from git10m.curation.near_vectors import vector_copies

    held = np.load(path, mmap_mode="r")
    rows = np.random.default_rng(1).permutation(count)
    vector_copies(lambda part: unit(held[part].astype(np.float32)), rows[:2000], least=LEAST)  # libraries are loaded
    before, start = anonymous_kib(), time.process_time()
    found = vector_copies(lambda part: unit(held[part].astype(np.float32)), rows, least=LEAST)
    seconds = time.process_time() - start
    grown = anonymous_kib() - before
    print(json.dumps({"seconds": seconds, "kib": grown, "gone": sorted(found)}))


def anonymous_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def measure_search(count: int, queries: int) -> None:
    import faiss

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "vectors.npy"
        write_vectors(path, count)
        command = [sys.executable, __file__, "--search", str(path), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        said = json.loads(done.stdout.splitlines()[-1])
        held = np.load(path, mmap_mode="r")
        faiss.omp_set_num_threads(1)
        place = np.empty(count, dtype=np.int64)
        place[np.random.default_rng(1).permutation(count)] = np.arange(count)
        gone = np.zeros(count, dtype=bool)
        gone[said["gone"]] = True
        # A row must go if a better one that stays is as near as that.
        asked = np.random.default_rng(2).choice(count, queries, replace=False)
        rows = unit(held[np.sort(asked)].astype(np.float32))
        wanted, seconds = np.zeros(queries, dtype=bool), 0.0
        for at in range(0, count, 100_000):
            index = faiss.IndexFlatIP(WIDTH)
            index.add(unit(held[at : at + 100_000].astype(np.float32)))
            start = time.process_time()
            limits, _, near = index.range_search(rows, LEAST)
            seconds += time.process_time() - start
            for i, row in enumerate(np.sort(asked).tolist()):
                others = near[limits[i] : limits[i + 1]] + at
                wanted[i] |= bool(((place[others] < place[row]) & ~gone[others]).any())
        found = gone[np.sort(asked)]
        print(
            json.dumps(
                {
                    "vectors": count,
                    "seconds": round(said["seconds"]),
                    "bytes_a_vector": round(said["kib"] * 1024 / count, 1),
                    "recall": round(float((found & wanted).sum() / max(1, wanted.sum())), 4),
                    "of": int(wanted.sum()),
                    "wrong": int((found & ~wanted).sum()),
                    "faiss_flat_seconds": round(seconds * count / queries),
                }
            ),
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--vectors", type=int, nargs="*", default=[200_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--search", nargs=2)
    given = parser.parse_args()
    if given.search:
        search(given.search[0], int(given.search[1]))
        return
    if given.images:
        measure_encoders(given.images)
    for count in given.vectors:
        measure_search(count, given.queries)


if __name__ == "__main__":
    main()
