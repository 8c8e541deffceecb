"""Verdicts tried on a sample: what would go and what would stay, by each threshold, before anything goes."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from PIL import Image
from tqdm import tqdm

from git10m.building.inputs import Inputs
from git10m.curation.quality import measure
from git10m.curation.verdicts import Limit, limits
from git10m.publish import write_text
from git10m.report.charts import Axis, Mark, bars, histogram, short
from git10m.report.gallery import data_uri
from git10m.report.page import page_environment
from git10m.sampling import Plan
from git10m.sources import Failure, Sample

__all__ = ["Trial", "try_verdicts", "write_trial"]

_SIDE, _EACH = 128, 7
_EMPTY = 236
_COLOURS = {"would stay": "var(--kept)"}
_TITLES = {
    "valid_fraction": "Share of pixels with data",
    "scene_cloud": "Cloud that the scene states",
    "entropy": "Entropy, bit",
    "sharpness": "Sharpness",
    "contrast": "Contrast",
    "too_dark": "Brightness",
    "too_bright": "Brightness",
    "clipped": "Share at black or white",
    "noise": "Noise, σ in grey levels",
    "blockiness": "JPEG blocks",
    "haze": "Haze",
    "white": "Share of white ground",
    "water": "Share that looks like water",
    "quality": "Quality score",
}


@dataclass(frozen=True, slots=True)
class _Judged:
    """A tile with its limits, and a small picture of it."""

    name: str
    limits: tuple[Limit, ...]
    picture: bytes


@dataclass(frozen=True, slots=True)
class Trial:
    """A sample of a plan, judged.

    Attributes:
        planned: Tiles of the whole plan.
        failed: Tiles of the sample that could not be read, by reason.
        judged: The others.
    """

    planned: int
    failed: dict[str, int]
    judged: tuple[_Judged, ...]

    @property
    def dropped(self) -> dict[str, int]:
        """Tiles that would go, by the first rule that they break, the most frequent first."""
        reasons = Counter(broken[0] for tile in self.judged if (broken := _broken(tile)))
        return dict(reasons.most_common())

    def as_json(self) -> dict[str, Any]:
        """Return the counts."""
        dropped = self.dropped
        return {
            "planned": self.planned,
            "read": len(self.judged),
            "would_keep": len(self.judged) - sum(dropped.values()),
            "would_drop": dropped,
            "failed": self.failed,
        }


@dataclass(frozen=True, slots=True)
class _Shot:
    picture: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class _Rule:
    """What the page shows of a rule."""

    title: str
    asked: str
    share: float
    chart: Markup | None
    going: list[_Shot]
    staying: list[_Shot]


def try_verdicts(inputs: Inputs, plan: Plan, *, tiles: int) -> Trial:
    """Read some tiles, spread over the plan, and judge them by the recipe; nothing is dropped or kept.

    Args:
        inputs: Of a build.
        plan: Its tiles.
        tiles: Most tiles to read.
    """
    sample = plan.thinned(tiles)
    recipe, failed, judged = inputs.recipe, Counter[str](), []
    results = inputs.imagery.read(list(sample.requests(0, len(sample))))
    for result in tqdm(results, total=len(sample), desc="judging", unit="tile"):
        if isinstance(result, Failure):
            failed[result.reason] += 1
            continue
        found = limits(
            measure(result.pixels, result.valid),
            min_valid=recipe.tiles.min_valid,
            rules=recipe.curation.verdicts,
            scene_cloud=result.contributions[0].scene_cloud,
        )
        judged.append(_Judged(_name(result), found, _small(result)))
    return Trial(len(plan), dict(failed.most_common()), tuple(judged))


def write_trial(trial: Trial, path: Path, *, name: str) -> None:
    """Write what verdicts would do as one HTML file that needs no other.

    Args:
        trial: Of `try_verdicts`.
        path: File to write; its folder exists.
        name: Of the dataset.
    """
    said = trial.as_json()
    outcome = {"would stay": said["would_keep"], **said["would_drop"]}
    rules = _rules(trial.judged)
    page = (
        page_environment()
        .get_template("verdicts.html.j2")
        .render(
            name=name,
            trial=said,
            outcome=bars(outcome, colours=_COLOURS | dict.fromkeys(said["would_drop"], "var(--dropped)"))
            if trial.judged
            else None,
            asked=[rule for rule in rules if rule.asked],
            others=[rule for rule in rules if not rule.asked and rule.chart is not None],
        )
    )
    write_text(path, page)


def _broken(tile: _Judged) -> list[str]:
    return [limit.reason for limit in tile.limits if limit.broken]


def _rules(judged: Sequence[_Judged]) -> list[_Rule]:
    """Describe every rule; a tile with too little data is an example of nothing else."""
    if not judged:
        return []
    found: list[_Rule] = []
    for number, limit in enumerate(judged[0].limits):
        if limit.reason == "too_bright" and not limit.asked:
            continue  # brightness once is enough
        seen = [tile for tile in judged if number == 0 or not tile.limits[0].broken]
        known = [(tile, value) for tile in seen if (value := tile.limits[number].value) is not None]
        found.append(_rule(limit, number, known))
    return found


def _rule(limit: Limit, number: int, known: Sequence[tuple[_Judged, float]]) -> _Rule:
    marks = [
        Mark(bound, f"{word} {bound:g}")
        for word, bound in (("at least", limit.least), ("at most", limit.most))
        if bound is not None
    ]
    values: npt.NDArray[np.float32] = np.array([value for _, value in known], dtype=np.float32)
    bound = limit.least if limit.least is not None else limit.most
    nearest = sorted(known, key=lambda pair: abs(pair[1] - bound)) if bound is not None else []
    going = [pair for pair in nearest if pair[0].limits[number].broken]
    staying = [pair for pair in nearest if not pair[0].limits[number].broken]
    return _Rule(
        title=_TITLES[limit.reason],
        asked=" and ".join(mark.text for mark in marks),
        share=len(going) / len(known) if known else 0.0,
        chart=histogram(values, axis=Axis(title=_TITLES[limit.reason]), marks=marks) if len(values) else None,
        going=[_shot(*pair) for pair in going[:_EACH]],
        staying=[_shot(*pair) for pair in staying[:_EACH]],
    )


def _shot(tile: _Judged, value: float) -> _Shot:
    return _Shot(data_uri(tile.picture, kind="webp"), tile.name, short(value))


def _name(sample: Sample) -> str:
    request = sample.request
    if request.tile is not None and request.entry < 0:
        return request.tile.name
    return sample.given.name if sample.given is not None else f"entry {request.entry}"


def _small(sample: Sample) -> bytes:
    picture = Image.fromarray(np.where(sample.valid[..., None], sample.pixels, np.uint8(_EMPTY)))
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, format="WEBP", quality=80)
    return stream.getvalue()
