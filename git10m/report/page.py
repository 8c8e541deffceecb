"""The report as a page: one HTML file without fonts, frames or addresses, that opens anywhere."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from git10m.errors import RequestError
from git10m.publish import write_text
from git10m.report.cards import duplicate_card, refused_card, tile_card
from git10m.report.gallery import Refused, Shown, chosen_refusals, chosen_tiles, data_uri
from git10m.report.sections import charts, check_tables, colours_of, crossed, filters, maps, measured, place_of, writers
from git10m.report.story import rules
from git10m.report.summary import Collected, collect, summary_of
from git10m.report.words import facts, ledger

__all__ = ["Figure", "page_environment", "write_report"]

LISTED = 200
"""Most files, credit lines and the like that are listed; the rest is counted."""
FIGURE_BYTES = 600_000
"""A figure beyond this size is stored with loss."""
FIGURE_PX = 1_600
RECIPE_CHARACTERS = 100_000


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
        told = f"Level {said.get('LEVEL', '?')}, seed {said.get('SEED', '?')}; synthetic, it shows no real place."
        return cls(f"What {said.get('MODEL', 'the model')} painted", encoded, f"“{said['PROMPT']}” {told}")


def write_report(folder: Path, *, extra_figures: Sequence[Figure] = (), seed: int = 0) -> Path:
    """Write ``report.html``: maps, counts, distributions, tiles to filter, what was turned away, recipe, credits.

    The file is bounded (240 rows and 160 rejections with pictures, 8 maps, lists of at most 200 entries: less than
    8 MB beside the figures) however large the dataset, and so is the memory that it takes.

    Args:
        folder: Finished dataset folder.
        extra_figures: Pictures to show first.
        seed: Of the draw of rows and rejections.

    Returns:
        Path of the file.

    Raises:
        DatasetError: If the folder is no finished dataset.
        RequestError: If a figure is no image.
    """
    figures = [_figure(figure) for figure in extra_figures]
    found = collect(folder, seed=seed)
    values = _values(found, chosen_tiles(folder, found), chosen_refusals(folder, found))
    script = _text("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = _template().render(**values, figures=figures, script=script, script_digest=digest)
    path = folder / "report.html"
    write_text(path, page)
    return path


@cache
def _template() -> jinja2.Template:
    """Return the report's template, compiled once."""
    return page_environment().get_template("report.html.j2")


def page_environment() -> jinja2.Environment:
    """Return what the project's pages are rendered with: everything from data is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("git10m", "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(thousands="{:,}".format, percent=_percent)
    return environment


def _values(found: Collected, tiles: Sequence[Shown], refusals: Sequence[Refused]) -> dict[str, Any]:
    summary = summary_of(found)
    manifest, accounting = found.manifest, summary["accounting"]
    where = maps(found)
    groups = where["groups"] if where else []
    cards = [tile_card(tile, place=place_of(tile.values, groups), cover=_cover(tile.values)) for tile in tiles]
    main, further = measured(found)
    unread = [item for item in manifest.get("items", []) if item.get("error") is not None]
    return {
        "manifest": manifest,
        "summary": summary,
        "accounting": accounting,
        "dropped": sum(accounting["dropped"].values()),
        "failed": sum(accounting["failed"].values()),
        "facts": facts(summary),
        "rules": rules(manifest.get("recipe")),
        "map": where,
        "charts": charts(summary, colours_of(found)),
        "main_histograms": main,
        "histograms": further,
        "sampled": any(spread.stride > 1 for spread in found.spreads.values()),
        "writers": writers(summary),
        "ledger": ledger(manifest),
        "checks": check_tables(summary),
        "flagged": [card for card in cards if card["flags"]][:12],
        "filters": filters(summary, groups),
        "crossed": crossed(found),
        "tiles": cards,
        "broken": sum(card["picture"] is None for card in cards),
        "refusals": [refused_card(tile) for tile in refusals],
        "duplicates": [duplicate_card(tile) for tile in refusals if tile.values.get("duplicate_of")],
        **_lists(manifest, summary, unread),
    }


def _lists(manifest: Mapping[str, Any], summary: Mapping[str, Any], unread: Sequence[Any]) -> dict[str, Any]:
    credit = manifest.get("attributions") or []
    recipe = json.dumps(manifest.get("recipe"), ensure_ascii=False, indent=2)
    return {
        "unread": unread[:LISTED],
        "unread_more": max(len(unread) - LISTED, 0),
        "licences": list(summary["counts"]["licence"].items())[:LISTED],
        "credits": credit[:LISTED],
        "credits_more": max(len(credit) - LISTED, 0),
        "recipe": recipe[:RECIPE_CHARACTERS],
        "recipe_more": max(len(recipe) - RECIPE_CHARACTERS, 0),
    }


def _cover(row: Mapping[str, Any]) -> str | None:
    """Return the class of the largest share, as `summary` counts it."""
    covers = (row.get("caption_facts") or {}).get("land_cover") or []
    largest = max(covers, key=lambda each: each["share"] or 0, default=None)
    return largest["name"] if largest else None


def _figure(figure: Figure) -> dict[str, Any]:
    """Return what the page needs of a figure: address, size to show it at, words."""
    try:
        image = Image.open(io.BytesIO(figure.image_png))
        image.load()
    except OSError as error:
        raise RequestError(f"figure {figure.title!r}: its bytes are no image ({error}); give an encoded PNG") from error
    content, kind = figure.image_png, str(image.format).lower()
    width = image.width
    if len(content) > FIGURE_BYTES or kind not in {"png", "jpeg", "webp", "gif"}:  # what browsers show
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


def _text(name: str) -> str:
    return (resources.files("git10m") / "templates" / name).read_text("utf-8")


def _percent(share: float) -> str:
    shown = 100 * share
    return f"{shown:.0f} %" if shown == 0 or shown >= 99.5 else f"{shown:.2g} %"
