"""What the page says beside pictures: charts, maps, filters, tables; from a summary and what was collected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from git10m.grid import nominal_resolution_m
from git10m.publish import SPLITS
from git10m.report.charts import Axis, bars, histogram
from git10m.report.footprints import Place, places, position
from git10m.report.maps import Colours, level_colour, place_map, world_map
from git10m.report.measures import MEASURES
from git10m.report.summary import FACETS, Collected
from git10m.report.tally import OTHERS

__all__ = [
    "PLACE_MAPS",
    "Chart",
    "charts",
    "check_tables",
    "crossed",
    "filters",
    "maps",
    "measured",
    "place_of",
    "writers",
]

PLACE_MAPS = 8
MOST_OPTIONS = 100
MOST_CROSSED = 4_000
"""Combinations of facets that the page carries, so that it can count rows that pictures cannot show."""

_FILTERS = {
    "level": ("level", "Level"),
    "source": ("source_id", "Source"),
    "split": ("split", "Split"),
    "licence": ("licence", "Licence"),
    "class": ("class", "Land cover"),
    "writer": ("caption_source", "Caption by"),
    "flags": ("flags", "Checks"),
}
"""Names of filters in addresses, the facets that they are of, and what they are called."""
_FLAGS = {"flagged": "flagged", "clean": "nothing found", "not stated": "not checked"}


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with its heading."""

    title: str
    body: Markup
    note: str = ""


def charts(summary: Mapping[str, Any], colours: Colours) -> list[Chart]:
    """Return the bars of everything that is counted."""
    counts = summary["counts"]
    by_level = {_level(level): count for level, count in counts["level"].items()}
    accounting = summary["accounting"]
    verdicts = {"kept": accounting["kept"]}
    links, shades = {"kept": "#verdict=kept"}, {"kept": "var(--kept)"}
    for verdict in ("dropped", "failed"):
        for reason, count in accounting[verdict].items():
            label = f"{verdict}: {reason}"
            verdicts[label], links[label] = count, f"#verdict={verdict}&reason={reason}"
            shades[label] = f"var(--{verdict})"
    splits = {name: counts["split"][name] for name in SPLITS if name in counts["split"]}
    splits |= {name: count for name, count in counts["split"].items() if name not in splits}
    found = [
        Chart(
            "Level and nominal resolution",
            bars(
                by_level,
                colours={_level(level): level_colour(int(level), colours.levels) for level in counts["level"]},
                links={_level(level): f"#level={level}" for level in counts["level"]},
                at_most=24,
            ),
        ),
        Chart("Verdict", bars(verdicts, links=links, colours=shades, at_most=24), "all that was planned"),
        _counted("Split", splits, "split"),
        _counted("Source", counts["source_id"], "source"),
        _counted("Licence", counts["licence"], "licence"),
    ]
    if set(counts["class"]) - {"not stated"}:
        found.append(_counted("Land cover of the largest share", counts["class"], "class"))
    if summary["captions"]["rows"]:
        found.append(_counted("Caption written by", counts["caption_source"], "writer"))
    if years := {int(year): n for year, n in counts["year"].items() if year != "not stated"}:
        found.append(Chart("Year of acquisition", _years(years), f"{sum(years.values()):,} rows have a date"))
    if set(counts["enhanced"]) - {"not stated"}:
        enhanced = {("as observed" if name == "not stated" else name): n for name, n in counts["enhanced"].items()}
        found.append(Chart("Enhanced by", bars(enhanced)))
    return [chart for chart in found if chart.body]


def measured(found: Collected) -> tuple[list[Chart], list[Chart]]:
    """Return the histograms that stand first, and all others."""
    drawn = {
        name: Chart(measure.title, measure.drawn(found.spreads[name]), f"{found.spreads[name].count:,} values")
        for name, measure in MEASURES.items()
        if found.spreads[name].count
    }
    return (
        [chart for name, chart in drawn.items() if MEASURES[name].main],
        [chart for name, chart in drawn.items() if not MEASURES[name].main],
    )


def maps(found: Collected) -> dict[str, Any] | None:
    """Return the drawings of where tiles are; None when no row has a place."""
    groups = places(found.cells.cells())
    if not groups:
        return None
    colours = colours_of(found)
    refused = found.refused.cells()
    legends = {what: entries for what, entries in colours.legends().items() if what == "level" or len(entries) > 1}
    return {
        "world": world_map(groups, numbered=PLACE_MAPS),
        "legends": legends,
        "places": [
            {
                "number": place.number,
                "title": position(*place.centre),
                "tiles": place.tiles,
                "levels": list(place.cells.by_level().items()),
                "drawing": place_map(
                    place, colours=colours, refused=refused, towns=not found.manifest.get("synthetic")
                ),
            }
            for place in groups[:PLACE_MAPS]
        ],
        "more": max(len(groups) - PLACE_MAPS, 0),
        "groups": groups,
    }


def place_of(tile: Mapping[str, Any], groups: Sequence[Place]) -> int | None:
    """Return the number of the place that a row belongs to, of those that have a map."""
    if tile["x"] is None or not tile["level"]:
        return None
    side = 2.0 ** tile["level"]
    square = int((tile["x"] + 0.5) / side * 128), int((tile["y"] + 0.5) / side * 128)
    return next((place.number for place in groups[:PLACE_MAPS] if square in place.squares), None)


def colours_of(found: Collected) -> Colours:
    """Return the colours of a dataset's levels, sources and splits."""
    levels = sorted(level for level in found.counts["level"] if level is not None)
    sources = [str(name) for name in found.facets.values("source_id")]
    splits = list(SPLITS)
    if set(found.counts["split"]) - set(SPLITS):
        splits.append("not stated")
    return Colours(levels, sources or [""], splits)


def filters(summary: Mapping[str, Any], groups: Sequence[Place]) -> list[dict[str, Any]]:
    """Return by what tiles can be filtered, with the rows of each value; what has one value alone is left out."""
    accounting = summary["accounting"]
    verdicts = {"kept": accounting["kept"]}
    verdicts |= {verdict: sum(accounting[verdict].values()) for verdict in ("dropped", "failed")}
    reasons = {**accounting["dropped"], **accounting["failed"]}
    found = [_choice("verdict", "Verdict", {k: v for k, v in verdicts.items() if v})]
    found.append(_choice("reason", "Reason", reasons, least=1))
    for name, (facet, title) in _FILTERS.items():
        counts = summary["counts"][facet]
        labels = {"level": _level, "flags": _FLAGS.get}.get(name, str)
        found.append(_choice(name, title, counts, labels=labels))
    shown = {str(place.number): place.tiles for place in groups[:PLACE_MAPS]}
    titles = {str(place.number): f"{place.number}: {position(*place.centre)}" for place in groups}
    found.append(_choice("place", "Place", shown, labels=titles.get))
    return [choice for choice in found if choice["options"]]


def crossed(found: Collected) -> dict[str, Any] | None:
    """Return how many rows there are of each combination of facets, for the page to add up; None: too many kinds."""
    rows = found.facets.crossed()
    if len(rows) > MOST_CROSSED or any(OTHERS in combination for combination in rows):
        return None
    facets = [facet for facet, _ in _FILTERS.values()]
    values: dict[str, list[str]] = {name: [] for name in _FILTERS}
    listed = []
    for combination, count in rows.items():
        given = dict(zip(FACETS, combination, strict=True))
        codes = []
        for name, facet in zip(_FILTERS, facets, strict=True):
            text = "not stated" if given[facet] is None else str(given[facet])
            if text not in values[name]:
                values[name].append(text)
            codes.append(values[name].index(text))
        listed.append([*codes, count])
    return {"names": list(_FILTERS), "values": values, "rows": listed}


def check_tables(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what checks found, and hallucination rates by land cover, object and writer; None: nothing was checked."""
    checks = summary["checks"]
    if not checks["checked"]:
        return None
    rates = checks["hallucination"]
    titles = {"land_cover": "Land cover", "object": "First kind of object", "caption_source": "Caption by"}
    groups = {group: [rate for rate in rates if rate["group"] == group] for group in titles}
    return {
        "all": next((rate for rate in rates if rate["group"] == "all"), None),
        "checked": checks["checked"],
        "flagged": checks["flagged"],
        "by_check": bars(checks["by_check"], of=checks["checked"]) if checks["by_check"] else None,
        "tables": [{"title": titles[group], "rows": rows[:40]} for group, rows in groups.items() if rows],
    }


def writers(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the figures of captions by who wrote them, and by source where there are several."""
    captions = summary["captions"]
    groups = [("Caption by", captions["caption_source"])]
    if len(captions["source_id"]) > 1:
        groups.append(("Source", captions["source_id"]))
    return [
        {"title": title, "rows": [{"name": name, **figures} for name, figures in list(group.items())[:40]]}
        for title, group in groups
        if group
    ]


def _counted(title: str, counts: Mapping[str, int], name: str) -> Chart:
    return Chart(title, bars(counts, links={value: f"#{name}={_quoted(value)}" for value in counts}))


def _years(counts: Mapping[int, int]) -> Markup:
    # As many values as a drawing can tell apart, in the proportions of the rows.
    total = sum(counts.values())
    shares = [max(1, round(count * min(1.0, 10_000 / total))) for count in counts.values()]
    values = np.repeat(np.array(list(counts), np.float32), shares)
    return histogram(values, axis=Axis(title="year", whole=True, plain=True), total=total)


def _choice(name: str, title: str, counts: Mapping[str, int], *, labels: Any = str, least: int = 2) -> dict[str, Any]:
    options = [
        {"value": value, "label": labels(value) or value, "count": count}
        for value, count in list(counts.items())[:MOST_OPTIONS]
    ]
    return {"name": name, "title": title, "options": options if len(options) >= least else []}


def _level(level: str) -> str:
    return f"{level} · {nominal_resolution_m(int(level)):g} m" if level not in {"0", "not stated"} else "0 · unknown"


def _quoted(value: str) -> str:
    return quote(value, safe="")
