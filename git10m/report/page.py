"""The report as a page: one HTML file without scripts, fonts or addresses, that opens anywhere."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

from git10m.errors import RequestError
from git10m.grid import nominal_resolution_m
from git10m.publish import SPLITS, write_text
from git10m.report.charts import Mark, bars, histogram
from git10m.report.footprints import level_colour, place_map, places, position, world_map
from git10m.report.gallery import Refused, Shown, chosen_refusals, chosen_tiles, data_uri
from git10m.report.summary import Collected, collect, summary_of

__all__ = ["Figure", "write_report"]

PLACE_MAPS = 6
LISTED = 200
"""Most files, credit lines and the like that are listed; the rest is counted."""
FIGURE_BYTES = 600_000
"""A figure beyond this size is stored with loss."""
FIGURE_PX = 1_600

GIT10M_CAPTION_WORDS = 52.0
"""Mean length of Git-10M's captions (arXiv 2501.00895)."""
GIT10M_QUALITY_CUT = 4.8
"""Score above which Git-10M's rows are used for the second stage of training."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture to show in the report beside what is read from the dataset, e.g. what a model painted.

    Attributes:
        title: Heading.
        image_png: An encoded image (PNG or another kind that Pillow reads).
        text: What it shows; plain text.
    """

    title: str
    image_png: bytes
    text: str

    @classmethod
    def from_file(cls, path: Path) -> Figure:
        """Read a picture; what a painted one says of itself (model, prompt, level, seed) becomes its text.

        Raises:
            RequestError: If the file is no picture.
        """
        try:
            with Image.open(path) as image:
                image.load()
                said = {key: str(value) for key, value in image.info.items() if isinstance(key, str)}
            encoded = path.read_bytes()
        except (OSError, ValueError, SyntaxError) as error:
            raise RequestError(f"{path}: cannot be shown in the report ({error}); give a PNG, JPEG or WebP") from error
        if "PROMPT" not in said:
            return cls(path.stem, encoded, "")
        facts = f"Level {said.get('LEVEL', '?')}, seed {said.get('SEED', '?')}; synthetic, it shows no real place."
        return cls(f"What {said.get('MODEL', 'the model')} painted", encoded, f"“{said['PROMPT']}” {facts}")


@dataclass(frozen=True, slots=True)
class _Chart:
    title: str
    body: Markup
    note: str = ""


def write_report(folder: Path, *, extra_figures: Sequence[Figure] = ()) -> Path:
    """Write ``report.html``: map, counts, distributions, pictures, refusals, files that failed, recipe, credits.

    The file is bounded (about 60 thumbnails, 6 maps, lists of at most 200 entries) however large the dataset.

    Args:
        folder: Finished dataset folder.
        extra_figures: Pictures to show first.

    Returns:
        Path of the file.

    Raises:
        DatasetError: If the folder is no finished dataset.
        RequestError: If a figure is no image.
    """
    found = collect(folder)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("git10m", "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(thousands="{:,}".format)
    page = environment.get_template("report.html.j2").render(
        **_values(found, chosen_tiles(folder, found), chosen_refusals(folder, found)),
        figures=[_figure(figure) for figure in extra_figures],
    )
    path = folder / "report.html"
    write_text(path, page)
    return path


def _values(found: Collected, tiles: Sequence[Shown], refusals: Sequence[Refused]) -> dict[str, Any]:
    summary = summary_of(found)
    manifest = found.manifest
    accounting = summary["accounting"]
    levels = sorted(int(level) for level in summary["counts"]["level"])
    unread = [item for item in manifest.get("items", []) if item.get("error") is not None]
    return {
        "manifest": manifest,
        "summary": summary,
        "accounting": accounting,
        "dropped": sum(accounting["dropped"].values()),
        "failed": sum(accounting["failed"].values()),
        "facts": _facts(summary),
        "map": _maps(found, levels),
        "legend": [(level, level_colour(level, levels)) for level in levels if level > 0],
        "charts": [chart for chart in _charts(found, summary, levels) if chart.body],
        "gallery": _by_level(tiles, summary["counts"]["level"]),
        "refusals": refusals,
        "unread": unread[:LISTED],
        "unread_more": max(len(unread) - LISTED, 0),
        "credits": manifest.get("attributions", [])[:LISTED],
        "credits_more": max(len(manifest.get("attributions", [])) - LISTED, 0),
        "recipe": json.dumps(manifest.get("recipe"), ensure_ascii=False, indent=2)[:100_000],
    }


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the numbers that stand at the top, each with its name."""
    counts = summary["counts"]
    levels = [int(level) for level in counts["level"] if int(level) > 0]
    facts = [("tiles", f"{summary['accounting']['kept']:,}")]
    if levels:
        facts.append(("levels" if len(levels) > 1 else "level", _span(str(min(levels)), str(max(levels)))))
    if "gsd_m" in summary["quantiles"]:
        gsd = summary["quantiles"]["gsd_m"]
        facts.append(("ground resolution, m/px", _span(f"{gsd['min']:.3g}", f"{gsd['max']:.3g}")))
    facts.append(("sources" if len(counts["source_id"]) != 1 else "source", f"{len(counts.get('source_id', {}))}"))
    if summary["acquired"]["first"]:
        facts.append(("acquired", _span(summary["acquired"]["first"][:4], summary["acquired"]["last"][:4])))
    facts.append(
        (
            "shards",
            f"{summary['bytes'] / 1e6:,.1f} MB" if summary["bytes"] < 1e9 else f"{summary['bytes'] / 1e9:,.2f} GB",
        )
    )
    return facts


def _span(low: str, high: str) -> str:
    return low if low == high else f"{low}–{high}"


def _maps(found: Collected, levels: list[int]) -> dict[str, Any] | None:
    """Return the drawings of where tiles are; None when no row has a place."""
    groups = places(found.tiles)
    if not groups:
        return None
    towns = not found.manifest.get("synthetic")
    return {
        "world": world_map(groups, numbered=PLACE_MAPS),
        "places": [
            {
                "number": place.number,
                "title": position(*place.centre),
                "tiles": len(place.tiles),
                "levels": sorted(Counter(place.tiles[:, 0].tolist()).items()),
                "drawing": place_map(
                    place, levels=[level for level in levels if level], refused=found.refused, towns=towns
                ),
            }
            for place in groups[:PLACE_MAPS]
        ],
        "more": max(len(groups) - PLACE_MAPS, 0),
    }


def _charts(found: Collected, summary: Mapping[str, Any], levels: list[int]) -> list[_Chart]:
    counts, values = summary["counts"], found.values

    def named(level: int) -> str:
        return f"{level} · {nominal_resolution_m(level):g} m" if level else "0 · unknown"

    by_level = {named(int(level)): count for level, count in counts["level"].items()}
    colours = {named(level): level_colour(level, levels) for level in levels}
    refused = {
        f"{reason} ({verdict})": count
        for verdict in ("dropped", "failed")
        for reason, count in summary["accounting"][verdict].items()
    }
    charts = [
        _Chart("Level and nominal resolution", bars(by_level, colours=colours)),
        _Chart("Split", bars({split: counts["split"][split] for split in SPLITS if split in counts["split"]})),
        _Chart("Source", bars(counts["source_id"])),
        _Chart("Licence", bars(counts["licence"])),
    ]
    if refused:
        charts.append(_Chart("Not kept, by reason", bars(refused)))
    if len(values["gsd_m"]):
        charts.append(
            _Chart(
                "True ground resolution", histogram(values["gsd_m"], unit=" m/px", logarithmic=True), "logarithmic axis"
            )
        )
    if len(values["valid_fraction"]):
        charts.append(
            _Chart(
                "Valid share of a tile",
                histogram(values["valid_fraction"] * np.float32(100), unit=" %", limits=(0, 100)),
            )
        )
    if len(values["caption_length"]):
        mark = Mark(GIT10M_CAPTION_WORDS, f"Git-10M's mean {GIT10M_CAPTION_WORDS:g}")
        charts.append(_Chart("Caption length", histogram(values["caption_length"], unit=" words", marks=[mark])))
    if len(values["img_quality_score"]):
        mark = Mark(GIT10M_QUALITY_CUT, f"Git-10M's cut {GIT10M_QUALITY_CUT:g}")
        charts.append(_Chart("Quality score", histogram(values["img_quality_score"], marks=[mark])))
    return charts


def _by_level(tiles: Sequence[Shown], counts: Mapping[str, int]) -> list[dict[str, Any]]:
    return [
        {
            "level": level,
            "resolution": f"{nominal_resolution_m(level):g} m" if level else "resolution unknown",
            "tiles": list(group),
            "of": counts[str(level)],
        }
        for level, group in groupby(tiles, key=lambda tile: tile.level)
    ]


def _figure(figure: Figure) -> dict[str, Any]:
    """Return what the page needs of a figure: address, size to show it at, words."""
    try:
        image = Image.open(io.BytesIO(figure.image_png))
        image.load()
    except OSError as error:
        raise RequestError(f"figure {figure.title!r}: its bytes are no image ({error}); give an encoded PNG") from error
    content, kind = figure.image_png, str(image.format).lower()
    width = image.width
    if len(content) > FIGURE_BYTES:
        image.thumbnail((FIGURE_PX, FIGURE_PX), Image.Resampling.LANCZOS)
        stream = io.BytesIO()
        image.convert("RGB").save(stream, format="WEBP", quality=88)
        content, kind = stream.getvalue(), "webp"
    # Pictures of a small model are tiny: show them by whole factors, with their pixels sharp.
    factor = max(1, 320 // width)
    return {
        "title": figure.title,
        "text": figure.text,
        "picture": data_uri(content, kind=kind),
        "width": width * factor,
        "sharp": factor > 1,
        "wide": width > 360,
    }
