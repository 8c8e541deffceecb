"""A row or a rejection as the page shows it: words instead of columns, and what filters ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from git10m.grid import nominal_resolution_m
from git10m.report.footprints import position
from git10m.report.gallery import Refused, Shown
from git10m.report.measures import MEASURES

__all__ = ["date_in_words", "duplicate_card", "refused_card", "tile_card"]

CAPTION_CHARACTERS = 1_000
_LISTED = 8
"""Most entries of a list of facts, captions or contributions."""
_DATE_FORMATS = {"year": "%Y", "month": "%Y-%m", "second": "%Y-%m-%d %H:%M UTC"}
_LIKENESS = re.compile(r"likeness ([01]?\.\d+|[01])")

Parts = list[tuple[str, str]]


def tile_card(tile: Shown, *, place: int | None, cover: str | None) -> dict[str, Any]:
    """Return what the page shows of a row.

    Args:
        tile: The row with its pictures.
        place: Number of its place on the maps.
        cover: Its land cover of the largest share.
    """
    row = tile.values
    flags = row.get("caption_flags")
    score = row.get("img_quality_score")
    caption = _cut(row["caption"] or "")
    name = row["Google_location"] or row["img_name"]
    return {
        "name": name,
        "picture": tile.picture,
        "alt": f"Tile {name}: {_cut(caption, 120)}" if caption else f"Tile {name}",
        "caption": caption,
        "captions": [_cut(each) for each in (row.get("captions") or []) if each and each != row["caption"]][:_LISTED],
        "flags": [_cut(flag, 300) for flag in flags or []],
        "filters": {
            "verdict": "kept",
            "level": str(row["level"]),
            "source": row["source_id"],
            "split": row["split"] or "not stated",
            "licence": row["licence"] or "not stated",
            "class": cover or "not stated",
            "writer": row["caption_source"] or "not stated",
            "flags": "not stated" if flags is None else "flagged" if flags else "clean",
            "place": str(place or ""),
            "score": "" if score is None else f"{score:.3f}",
        },
        "geo": _geo(row),
        "facts": _short_facts(row),
        "tags": _tags(row),
        "further": [{"name": name, "picture": picture} for name, picture in tile.further.items()],
        "details": [
            (title, parts)
            for title, parts in (("Facts", _facts(row)), ("Measures", _measures(row)), ("Origin", _origin(row)))
            if parts
        ],
    }


def refused_card(tile: Refused) -> dict[str, Any]:
    """Return what the page shows of a planned tile that did not become a row."""
    entry = tile.values
    name = entry["Google_location"] or entry["item"] or "without a name"
    facts = [f"level {entry['level']}" if entry["level"] else "resolution unknown", entry["source_id"]]
    if entry["layer"] != entry["source_id"]:
        facts.append(f"layer {entry['layer']}")
    if entry["acquired_at"] is not None:
        facts.append(f"{entry['acquired_at']:%Y-%m-%d}")
    return {
        "name": name,
        "picture": tile.picture,
        "alt": f"Tile {name}, {entry['verdict']}: {entry['reason']}" if tile.picture else "",
        "verdict": entry["verdict"],
        "reason": entry["reason"],
        "detail": _cut(entry["detail"]),
        "filters": {
            "verdict": entry["verdict"],
            "reason": entry["reason"],
            "level": str(entry["level"]),
            "source": entry["source_id"],
        },
        "geo": _geo(entry),
        "facts": facts,
    }


def duplicate_card(tile: Refused) -> dict[str, Any]:
    """Return what the page shows of a tile that went because it is like another, beside that other."""
    entry, other = tile.values, tile.twin_values
    card = refused_card(tile)
    likeness = _LIKENESS.search(entry["detail"])
    stays: list[str] = []
    if other is not None:
        stays = [other["source_id"], date_in_words(other["acquired_at"], other["acquired_precision"])]
        if other["img_quality_score"] is not None:
            stays.append(f"score {other['img_quality_score']:.3g}")
        stays += [other["split"]] if other["split"] else []
    return card | {
        "likeness": likeness.group(1) if likeness else None,
        "twin": tile.twin,
        "twin_name": (other["Google_location"] or other["img_name"]) if other is not None else entry["duplicate_of"],
        "twin_facts": stays,
        "elsewhere": other is None,
    }


def date_in_words(moment: datetime | None, precision: str | None) -> str:
    """Write a date as exactly as it is known."""
    return "date unknown" if moment is None else moment.strftime(_DATE_FORMATS.get(precision or "day", "%Y-%m-%d"))


def _short_facts(row: Mapping[str, Any]) -> list[str]:
    level = int(row["level"])
    facts = []
    if row["gsd_m"] is not None:
        facts.append(f"{row['gsd_m']:.3g} m/px on the ground (nominal {nominal_resolution_m(level):g})")
    elif level:
        facts.append(f"level {level}, nominal {nominal_resolution_m(level):g} m/px")
    else:
        facts.append("resolution unknown")
    facts.append(date_in_words(row["acquired_at"], row["acquired_precision"]))
    return facts + [str(row[name]) for name in ("source_id", "licence", "split") if row[name] is not None]


def _geo(entry: Mapping[str, Any]) -> dict[str, str] | None:
    """Return a link to the place that every program with a map understands (RFC 5870), and its words."""
    if entry["lon"] is None or entry["lat"] is None:
        return None
    return {"link": f"geo:{entry['lat']:.5f},{entry['lon']:.5f}", "text": position(entry["lon"], entry["lat"])}


def _tags(row: Mapping[str, Any]) -> list[str]:
    return [*(["enhanced"] if row.get("enhanced") else []), *(["synthetic"] if row.get("synthetic") else [])]


def _facts(row: Mapping[str, Any]) -> Parts:
    known: Mapping[str, Any] = row.get("caption_facts") or {}
    parts: Parts = []
    if (cover := known.get("land_cover")) is not None:
        listed = [f"{c['name']} {100 * (c['share'] or 0):.3g} %{_where(c['part'])}" for c in cover[:_LISTED]]
        parts.append(("land cover", "; ".join(listed) or "none of the known classes"))
    if (objects := known.get("objects")) is not None:
        parts.append(("objects", "; ".join(_object(each) for each in objects[:_LISTED]) or "none that can be seen"))
    if place := known.get("place"):
        parts.append(("nearest place", _place(place)))
    if areas := known.get("areas"):
        parts.append(("inside", ", ".join(str(each["name"]) for each in areas[:_LISTED])))
    if relief := known.get("relief"):
        parts.append(("relief", _relief(relief)))
    taken = [str(each) for each in (known.get("date"), known.get("season")) if each is not None]
    if isinstance(known.get("date"), date) or taken:
        parts.append(("date", ", ".join(taken)))
    if sensor := ", ".join(str(known[key]) for key in ("platform", "sensor") if known.get(key)):
        parts.append(("taken by", sensor))
    return [(name, _cut(text)) for name, text in parts]


def _object(each: Mapping[str, Any]) -> str:
    count = "" if each["count"] is None else f"{each['count']:,} × "
    name = f" “{each['name']}”" if each["name"] else ""
    return f"{count}{each['kind']}{name}{_where(each['part'])}"


def _where(part: str | None) -> str:
    return f" ({part})" if part else ""


def _place(place: Mapping[str, Any]) -> str:
    away = (
        f"{place['distance_km']:.3g} km {place['direction'] or ''} of ".replace("  ", " ")
        if place.get("direction")
        else ""
    )
    return f"{away}{place['name']}" + (f", {place['country']}" if place.get("country") else "")


def _relief(relief: Mapping[str, Any]) -> str:
    low, high, slope = (relief.get(key) for key in ("lowest_m", "highest_m", "slope_deg"))
    said = [f"{low:,.0f}–{high:,.0f} m" if low is not None and high is not None else ""]
    said.append(f"mean slope {slope:.2g}°" if slope is not None else "")
    return ", ".join(each for each in said if each)


def _measures(row: Mapping[str, Any]) -> Parts:
    return [
        (measure.title, measure.text(float(row[name])))
        for name, measure in MEASURES.items()
        if row.get(name) is not None
    ]


def _origin(row: Mapping[str, Any]) -> Parts:
    parts: Parts = [("image", row["img_name"]), ("pixels", f"{row['width']} × {row['height']}")]
    if row["lon"] is not None:
        parts.append(("centre", position(row["lon"], row["lat"], digits=5)))
    for each in (row.get("sources") or [])[:_LISTED]:
        share = "" if each["share"] is None else f"{100 * each['share']:.3g} %: "
        said = [each["source_item"] or each["source_id"], each["licence"], each["attribution"]]
        parts.append(("from", share + ", ".join(str(part) for part in said if part)))
    if not row.get("sources"):
        said = [row["source_item"] or row["source_id"], row["licence"], row["attribution"]]
        parts.append(("from", ", ".join(str(part) for part in said if part)))
    if row.get("enhanced"):
        parts.append(("enhanced by", row["enhanced"]))
    if row["caption_source"]:
        parts.append(("caption by", " ".join(str(row[k]) for k in ("caption_source", "caption_version") if row[k])))
    parts.append(("SHA-256", f"{row['sha256'][:16]}…"))
    parts.append(("stands in", f"{row['file']}, row {row['row']:,}"))
    return [(name, _cut(text)) for name, text in parts]


def _cut(text: str, characters: int = CAPTION_CHARACTERS) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"
