"""Checks of captions beside people's ratings: Spearman's correlation within each source of RS5M's rated captions.

Facts come from what the captions say of themselves: BigEarthNet's labels in quotes are the land cover, fMoW's class in
the file's name is an object, date and place stand in the text. MillionAID's captions are text alone. No threshold: the
ratings are of other faults too, and nine in ten are 4 or 5.

    GIT10M_IMAGERY=… python tests/benchmarks/caption_checks.py
"""

from __future__ import annotations

import csv
import os
import re
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from git10m import records
from git10m.captions.checks import Flag, check
from git10m.recipe import CaptionChecks

RATINGS = ("relevance_detail", "hallucination", "fluency")
FLUENCY = {"language", "repetition", "form", "length"}


def facts_of(name: str, text: str) -> dict[str, Any]:
    """Return facts that a rated caption's file name and own metadata tell."""
    facts: dict[str, Any] = {field.name: None for field in records.FACTS}
    facts["platform"] = "satellite" if name.startswith(("ben", "fmow")) else None
    if name.startswith("ben") and (quoted := re.search(r"'([^']+)'", text)):
        labels = [label.strip() for label in re.split(r",(?! with)", quoted[1]) if label.strip()]
        facts["land_cover"] = [{"name": label, "share": 1.0 / len(labels), "part": None} for label in labels]
    if name.startswith("fmow"):
        kind = re.match(r"fmow_([a-z_-]+?)_\d", name)
        facts["objects"] = (
            [{"kind": kind[1].replace("_", " "), "count": None, "name": None, "part": None}] if kind else None
        )
    return facts


def source_of(name: str) -> str:
    """Return the data set that an image comes from."""
    return re.match(r"[a-z]+", name)[0]  # type: ignore[index]


def spoken(name: str, text: str) -> str:
    """Return what a model wrote: the last sentence of a caption that begins with metadata."""
    return text if name.startswith("millionaid") else text.rsplit(". ", 1)[-1]


def measured(found: tuple[Flag, ...]) -> dict[str, int]:
    """Return numbers of flags by kind."""
    counts = Counter(flag.check for flag in found)
    return {
        "all flags": sum(counts.values()),
        "hedges": counts["hedge"],
        "fluency (form, language, repetition, length)": sum(counts[name] for name in FLUENCY),
        "contradictions": counts["contradiction"],
    }


def correlations(folder: Path) -> None:
    """Print the correlation of flags with ratings within each source."""
    with (folder / "captions/rs5m_ratings_1_500.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        name = Path(row["image_path"]).name
        text = row["description"]
        found = check(spoken(name, text), facts=facts_of(name, text), rules=CaptionChecks(), kind="given")
        for what, count in measured(found).items():
            scores[source_of(name)][what].append(count)
        for rating in RATINGS:
            scores[source_of(name)][rating].append(float(row[rating] or "nan"))
    for source, columns in sorted(scores.items()):
        size = len(columns["fluency"])
        print(
            f"\n{source}: {size} captions, mean ratings",
            *(f"{rating} {np.nanmean(columns[rating]):.2f}" for rating in RATINGS),
        )
        for what in measured(()):
            values = columns[what]
            flagged = sum(value > 0 for value in values)
            if not 0 < flagged < size:
                print(f"  {what}: {flagged} of {size} flagged, no correlation")
                continue
            told = []
            for rating in RATINGS:
                rho, p = spearmanr(values, columns[rating], nan_policy="omit")
                told.append(f"{rating} {rho:+.2f} (p {p:.2g})")
            print(f"  {what}: {flagged} of {size} flagged; Spearman with", ", ".join(told))


def speed(folder: Path) -> None:
    """Print captions a second on one core, of text alone."""
    with (folder / "captions/rs5m_rs3_dump.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["caption"] for row in csv.DictReader(file)]
    started = time.process_time()
    flagged = sum(bool(check(text, facts=None, rules=CaptionChecks(), kind="given")) for text in texts)
    seconds = time.process_time() - started
    print(f"\n{len(texts)} captions of RS5M: {len(texts) / seconds:.0f} a second, {flagged / len(texts):.1%} flagged")


if __name__ == "__main__":
    imagery = Path(os.environ["GIT10M_IMAGERY"])
    correlations(imagery)
    speed(imagery)
