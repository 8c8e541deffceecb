"""From items to scenes, without opening an asset where the item says enough."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import rasterio.errors
import shapely
from pyproj.exceptions import ProjError

from git10m.errors import SourceError
from git10m.recipe import Percentiles, StacSource, is_address
from git10m.remote import content_digest
from git10m.sources import Moment
from git10m.sources.raster import Band, Scene, SceneMask, value_pairs
from git10m.sources.stac.assets import AssetBand, choose_bands, find_asset, physical_units
from git10m.sources.stac.placing import place_of
from git10m.sources.stac.slim import SIGNED
from git10m.sources.stac.wanted import cloud_cover, period, rank

__all__ = ["FoundScene", "scene_of"]

Document = Mapping[str, Any]
Pairs = tuple[tuple[float, float], ...]

_SAYS_LITTLE = frozenset({"", "other", "proprietary", "various", "none"})
"""Words for a licence that are none."""


@dataclass(frozen=True, slots=True)
class FoundScene:
    """One item of a catalog.

    Attributes:
        name: Id of the item, with its collection's where two have the same.
        digest: Of all that its pixels and its row depend on.
        scene: Its description; None where it cannot be used.
        error: Why not.
    """

    name: str
    digest: str
    scene: Scene | None
    error: str | None = None


def scene_of(source: StacSource, item: Document, collection: Document, *, name: str) -> FoundScene:
    """Describe an item as a scene.

    Args:
        source: Of the recipe.
        item: As it was found, its assets' addresses whole.
        collection: Of the item; empty where it is unknown.
        name: Of the scene, unlike those of the source's other scenes.
    """
    try:
        bands = choose_bands(item, collection, source.bands)
        mask = _mask(source, item, collection)
        scene = replace(_described(source, item, collection, bands, mask), name=name)
    except (SourceError, ProjError, rasterio.errors.CRSError) as error:
        text = str(error) if isinstance(error, SourceError) else f"its coordinate system is unknown ({error})"
        return FoundScene(name, _digest(name), None, _named(name, text))
    files = [(_file_digest(band), band.index) for band in (*scene.bands, *([scene.mask.band] if scene.mask else []))]
    checksums = [band.asset.get("file:checksum") for band in bands]
    place = (scene.place.crs_wkt, scene.place.affine, scene.width, scene.height)
    words = (scene.licence, scene.attribution, scene.platform, scene.sensor, scene.cloud)
    parts = (name, files, checksums, scene.scale, scene.unstated_nodata, scene.moment, place, words, scene.rank)
    return FoundScene(name, _digest(*parts), scene)


def _described(
    source: StacSource, item: Document, collection: Document, chosen: Sequence[AssetBand], mask: SceneMask | None
) -> Scene:
    bands = tuple(Band(_address(source, item, band), band.index, source.sign) for band in chosen)
    placed = [place_of(item, each, band) for each, band in zip(chosen, bands, strict=True)]
    # Where assets differ, the picture is no finer than the coarsest of them.
    main = max(placed, key=lambda each: each.native_gsd_m)
    return Scene(
        source=source,
        name=str(item["id"]),
        bands=bands,
        scale=_stored_pairs(source, item, chosen, bands),
        moment=_moment(source, item),
        place=main.place,
        outline_wkb=shapely.to_wkb(main.outline),
        width=main.width,
        height=main.height,
        crs_name=main.crs_name,
        native_gsd_m=main.native_gsd_m,
        synthetic=main.synthetic,
        rank=rank(source, item),
        licence=_licence(source, item, collection),
        attribution=source.attribution or _credit(item, collection),
        platform=source.platform or _platform(item),
        sensor=_sensor(source, item),
        unstated_nodata=_shared_nodata(chosen),
        mask=mask,
        cloud=None if (percent := cloud_cover(item)) is None else percent / 100.0,
    )


def _mask(source: StacSource, item: Document, collection: Document) -> SceneMask | None:
    if source.mask is None:
        return None
    found = find_asset(item, collection, source.mask.asset)
    band = Band(_address(source, item, found), found.index, source.sign)
    return SceneMask(band, source.mask.classes, source.mask.bits)


def _address(source: StacSource, item: Document, band: AssetBand) -> str:
    if band.asset.get(SIGNED) and source.sign is None:
        raise SourceError(
            f"{item['id']}: the address of asset {band.key!r} is signed for a time, and signatures are not kept; "
            'write sign = "planetary-computer" if it is of that service, or use a catalog of lasting addresses'
        )
    return str(band.asset["href"])


def _stored_pairs(
    source: StacSource, item: Document, chosen: Sequence[AssetBand], bands: Sequence[Band]
) -> Pairs | None:
    """Return the pairs of stored values that become 0 and 255."""
    given = source.scale
    if given is None and not source.decibels and all(band.data_type == "uint8" for band in chosen):
        return None
    if given is None or isinstance(given, Percentiles):
        return value_pairs(source, bands)
    pairs = [pair if isinstance(pair, tuple) else given for pair in given]
    return tuple(
        _stored_pair(source, item, band, pairs[min(i, len(pairs) - 1)])  # type: ignore[arg-type]
        for i, band in enumerate(chosen)
    )


def _stored_pair(source: StacSource, item: Document, band: AssetBand, pair: tuple[float, float]) -> tuple[float, float]:
    low, high = pair
    units = physical_units(item, band, highest=math.inf if source.decibels else high)
    if units is None:
        whole = band.data_type is not None and re.match(r"u?int", band.data_type)
        if whole and high - low < 1.0 and not source.decibels:
            raise SourceError(
                f"{item['id']}: asset {band.key!r} states no scale, so scale = [{low}, {high}] is meant in stored "
                f"values, which are whole numbers ({band.data_type}); give it in those, e.g. scale = [0, 3000]"
            )
        return pair
    scale, offset = units
    if scale <= 0 or (source.decibels and offset != 0):
        raise SourceError(f"{item['id']}: asset {band.key!r} states scale {scale} and offset {offset}: not understood")
    if source.decibels:
        return low - 10.0 * math.log10(scale), high - 10.0 * math.log10(scale)
    return (low - offset) / scale, (high - offset) / scale


def _moment(source: StacSource, item: Document) -> Moment | None:
    """Return when an item was taken; of a range its beginning, and as much of it as both ends share."""
    if source.acquired_at is not None:
        return Moment(source.acquired_at, _precision(source.acquired_at, source.acquired_at))
    taken = period(item)
    return None if taken is None else Moment(taken[0], _precision(*taken))


def _precision(first: datetime, last: datetime) -> str:
    if last - first > timedelta(seconds=1) and first.date() != last.date():
        return "month" if (first.year, first.month) == (last.year, last.month) else "year"
    midnight = first.time() == datetime.min.time()
    return "day" if midnight or last - first > timedelta(minutes=10) else "second"


def _licence(source: StacSource, item: Document, collection: Document) -> str | None:
    """Return the licence that the item or its collection names, else the source's, else what it links to."""
    links = [*(item.get("links") or []), *(collection.get("links") or [])]
    for said in (item["properties"].get("license"), collection.get("license")):
        if said is not None and str(said).lower() not in _SAYS_LITTLE:
            return str(said)
    if source.licence is not None:
        return source.licence
    link = next((link for link in links if link.get("rel") == "license"), None)
    if link is not None:
        return f"{link['title']} ({link['href']})" if link.get("title") else str(link["href"])
    return next((str(said) for said in (item["properties"].get("license"), collection.get("license")) if said), None)


def _credit(item: Document, collection: Document) -> str | None:
    """Return the names of those who license the imagery, or else of those who made it."""
    providers = item["properties"].get("providers") or collection.get("providers") or []
    for role in ("licensor", "producer"):
        names = [str(each["name"]) for each in providers if role in (each.get("roles") or []) and each.get("name")]
        if names:
            return ", ".join(dict.fromkeys(names))
    return None


def _platform(item: Document) -> str | None:
    """Return ``"satellite"`` where an item shows that it is from one."""
    said = item["properties"]
    named = f"{said.get('constellation', '')} {said.get('platform', '')}".lower()
    orbits = any(key.startswith(("sat:", "landsat:", "s1:", "s2:", "sentinel:")) for key in said)
    known = re.search(r"sentinel|landsat|pleiades|spot|worldview|geoeye|planetscope|skysat|modis|viirs|aster", named)
    return "satellite" if orbits or known else None


def _sensor(source: StacSource, item: Document) -> str | None:
    """Return the sensor's name: the item's where it is more exact than the source's, or the source states none."""
    said = item["properties"]
    named = str(said.get("platform") or said.get("constellation") or "").replace("_", "-")
    if named and (named.islower() or named.isupper()):
        named = re.sub(r"\d+[a-z]$", lambda found: found[0].upper(), named.title(), flags=re.IGNORECASE)
    if source.sensor is None:
        return named or None
    return named if named.lower().startswith(source.sensor.lower()) else source.sensor


def _shared_nodata(chosen: Sequence[AssetBand]) -> float | None:
    """Return the value without data that all bands share."""
    stated = {band.nodata for band in chosen}
    return stated.pop() if len(stated) == 1 else None


def _file_digest(band: Band) -> str:
    """Return what tells a file from others: of a local one its content, else its address without what may change."""
    return band.path.partition("?")[0] if is_address(band.path) else content_digest(band.path)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()


def _named(name: str, text: str) -> str:
    return text if text.startswith(name) else f"{name}: {text}"
