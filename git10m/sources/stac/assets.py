"""Which asset of an item holds which band, and in which units its values are."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from git10m.errors import SourceError

__all__ = ["AssetBand", "choose_bands", "find_asset", "physical_units"]

Document = Mapping[str, Any]

_PICTURES = frozenset({"visual", "overview", "thumbnail", "preview", "rendered_preview"})
"""Keys and roles of assets that are made to be looked at; a band is better taken from another one."""
_NO_PIXELS = re.compile(r"json|xml|html|text|pdf|csv|zip|parquet|protobuf", re.IGNORECASE)
_S2_OFFSET_SINCE = "2022-01-25"
"""From this day on Sentinel-2 products have baseline 04.00, and with it an offset of −1000 in stored values."""
_LARGEST_REFLECTANCE = 2.0


@dataclass(frozen=True)
class AssetBand:
    """One band of one asset.

    Attributes:
        key: Of the asset.
        asset: Its fields, those that the collection states for all items included.
        index: Of the band in the asset's file, from 1.
    """

    key: str
    asset: Document
    index: int

    @property
    def fields(self) -> dict[str, Any]:
        """What the item states of the band, without the extensions' prefixes; the band's own word comes first."""
        found: dict[str, Any] = {}
        for name in ("data_type", "nodata", "raster:scale", "raster:offset", "scale", "offset"):
            if self.asset.get(name) is not None:
                found[name.removeprefix("raster:")] = self.asset[name]
        for name in ("eo:bands", "raster:bands", "bands"):
            listed = self.asset.get(name) or []
            if len(listed) >= self.index:
                own = {key.partition(":")[2] or key: value for key, value in listed[self.index - 1].items()}
                found |= {key: value for key, value in own.items() if value is not None}
        return found

    @property
    def data_type(self) -> str | None:
        """Type of its values as NumPy names it, where the item says enough."""
        stated = self.fields.get("data_type")
        if stated is None and re.match(r"image/(jpeg|png|webp)", str(self.asset.get("type", ""))):
            return "uint8"
        return None if stated is None else str(stated)

    @property
    def nodata(self) -> float | None:
        """Value without data, where the item states one."""
        stated = self.fields.get("nodata")
        try:
            return None if stated is None or isinstance(stated, bool) else float(stated)
        except (TypeError, ValueError):
            return None


def choose_bands(item: Document, collection: Document, wanted: Sequence[int] | Sequence[str] | None) -> list[AssetBand]:
    """Find the bands that a recipe asks for.

    Args:
        item: As it was found.
        collection: Of the item; empty where it is unknown.
        wanted: As `StacSource.bands` says.

    Raises:
        SourceError: If one is not there, or could be several: names it, and what the item has.
    """
    assets = _assets(item, collection)
    if wanted is None:
        visual = next((key for key, asset in assets.items() if key == "visual" or "visual" in _roles(asset)), None)
        wanted = [f"{visual}:{band}" for band in (1, 2, 3)] if visual is not None else ["red", "green", "blue"]
    return [_choose(item, assets, name) for name in wanted]


def find_asset(item: Document, collection: Document, name: str) -> AssetBand:
    """Find one asset, or band of it, by its name.

    Raises:
        SourceError: If it is not there.
    """
    return _choose(item, _assets(item, collection), name)


def physical_units(item: Document, band: AssetBand, *, highest: float) -> tuple[float, float] | None:
    """Return (scale, offset) from stored values to physical ones; None where stored values are all there is.

    What the item states comes first. For reflectance of Sentinel-2 and of Landsat's Collection 2 the missions' own
    numbers stand in where it states nothing. Sentinel-2's offset of −0.1 came with baseline 04.00, and some archives
    have applied it to the pixels already.

    Args:
        item: As it was found.
        band: Of the item.
        highest: Of the recipe's scale; above 2 it cannot be meant as reflectance.
    """
    said, fields = item["properties"], band.fields
    scale, offset = fields.get("scale"), fields.get("offset")
    stated = (float(1.0 if scale is None else scale), float(offset or 0.0)) if scale or offset else None
    if band.data_type == "uint8" or (stated is None and highest > _LARGEST_REFLECTANCE):
        return stated
    names = f"{said.get('constellation', '')} {said.get('platform', '')} {item.get('collection', '')}".lower()
    if re.search(r"sentinel-?2", names) and _is_reflectance(band, r"B\d[\dA]$", stated, 1e-4):
        return _sentinel_2(said, item["id"], stated)
    if stated is None and _is_landsat_level_2(said) and _is_reflectance(band, r"(SR|OLI|ETM|TM)?_?B[1-7]$", None, 0):
        return 2.75e-5, -0.2
    return stated


def _sentinel_2(said: Document, name: str, stated: tuple[float, float] | None) -> tuple[float, float]:
    applied = said.get("earthsearch:boa_offset_applied", said.get("sentinel:boa_offset_applied"))
    if applied is True or _baseline(said, name) < 4.0:
        return 1e-4, 0.0
    return stated if stated is not None else (1e-4, -0.1)


def _baseline(said: Document, name: str) -> float:
    """Return the processing baseline of a Sentinel-2 item, by its date where it states none."""
    for key in ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version"):
        if re.fullmatch(r"\d\d\.\d\d", str(said.get(key, ""))):
            return float(said[key])
    products = (said.get(key) for key in ("s2:product_uri", "sentinel:product_id", "s2:product_id", "title"))
    found = re.search(r"_N(\d\d)(\d\d)_", " ".join(map(str, (*products, name))))
    if found:
        return float(f"{found[1]}.{found[2]}")
    return 4.0 if str(said.get("datetime") or said.get("start_datetime") or "") >= _S2_OFFSET_SINCE else 0.0


def _is_landsat_level_2(said: Document) -> bool:
    return str(said.get("landsat:collection_number")) == "02" and str(said.get("landsat:correction", "")).startswith(
        "L2"
    )


def _is_reflectance(band: AssetBand, names: str, stated: tuple[float, float] | None, scale: float) -> bool:
    """Tell reflectance from the other assets of a product: classes, aerosols, temperatures."""
    if stated is not None:
        return math.isclose(stated[0], scale)
    said = band.fields
    common = said.get("common_name", "")
    colours = r"coastal|blue|green|red|rededge\d*|nir\d*|swir\d*"
    return any(
        re.fullmatch(colours, str(text)) or re.search(names, str(text))
        for text in (common, said.get("name", ""), band.key)
    )


def _assets(item: Document, collection: Document) -> dict[str, Document]:
    shared = collection.get("item_assets") or {}
    return {key: {**shared.get(key, {}), **asset} for key, asset in item["assets"].items()}


def _choose(item: Document, assets: Mapping[str, Document], wanted: int | str) -> AssetBand:
    if isinstance(wanted, int):
        keys = [key for key, asset in assets.items() if _has_pixels(asset) and not _is_picture(key, asset)]
        if len(keys) != 1:
            raise SourceError(
                f'{item["id"]}: band {wanted} of which asset? write bands = ["KEY:{wanted}", …]; {_has(assets)}'
            )
        return _checked(item, AssetBand(keys[0], assets[keys[0]], wanted))
    if wanted in assets:
        return _checked(item, AssetBand(wanted, assets[wanted], 1))
    name, _, number = wanted.rpartition(":")
    if number.isdigit() and name:
        return _checked(item, AssetBand(key := _key(item, assets, name), assets[key], int(number)))
    if any(sign in wanted for sign in "*?["):
        return _checked(item, AssetBand(key := _key(item, assets, wanted), assets[key], 1))
    return _checked(item, _by_band(item, assets, wanted))


def _key(item: Document, assets: Mapping[str, Document], name: str) -> str:
    """Return the key of an asset that a pattern, or a name in other letters, stands for."""
    if name in assets:
        return name
    keys = [key for key in assets if fnmatch.fnmatchcase(key, name)] or [
        key for key in assets if key.lower() == name.lower()
    ]
    keys = [key for key in keys if _has_pixels(assets[key])] or keys
    if len(keys) != 1:
        several = f"{', '.join(keys)} all fit {name!r}: name one" if keys else f"has no asset {name!r}"
        raise SourceError(f"{item['id']}: {several}; {_has(assets)}")
    return keys[0]


def _by_band(item: Document, assets: Mapping[str, Document], name: str) -> AssetBand:
    """Find a band by its name or common name, in the finest asset that holds it for computing."""
    found = []
    for key, asset in assets.items():
        if not _has_pixels(asset):
            continue
        for listing in ("bands", "eo:bands"):
            listed = asset.get(listing) or []
            for index, band in enumerate(listed, 1):
                if name in {band.get("name"), band.get("common_name"), band.get("eo:common_name")}:
                    _count_agrees(item, key, asset, listing, name)
                    found.append(AssetBand(key, asset, index))
    if not found:
        same = [key for key in assets if key.lower() == name.lower()]
        if len(same) == 1:
            return AssetBand(same[0], assets[same[0]], 1)
        raise SourceError(f"{item['id']}: has no asset or band {name!r}; {_has(assets)}")

    def order(band: AssetBand) -> tuple[bool, bool, float]:
        count = len(band.asset.get("bands") or band.asset.get("eo:bands") or [])
        return _is_picture(band.key, band.asset), count > 1, float(band.asset.get("gsd") or 0.0)

    best = sorted({band.key: band for band in reversed(found)}.values(), key=lambda band: (*order(band), band.key))
    rivals = [band.key for band in best if order(band) == order(best[0])]
    if len(rivals) > 1:
        raise SourceError(f"{item['id']}: {', '.join(rivals)} all hold a band {name!r}: name one of them in bands")
    return best[0]


def _count_agrees(item: Document, key: str, asset: Document, listing: str, name: str) -> None:
    """Refuse to count bands in a list that names fewer than the file has."""
    values = asset.get("raster:bands") or []
    if listing == "eo:bands" and len(values) > 1 and len(values) != len(asset["eo:bands"]):
        raise SourceError(
            f"{item['id']}: asset {key!r} names {len(asset['eo:bands'])} bands ({name!r} among them) and has "
            f'{len(values)}, so which is which cannot be told; write bands = ["{key}:4", …] with their numbers'
        )


def _checked(item: Document, band: AssetBand) -> AssetBand:
    if not _has_pixels(band.asset):
        raise SourceError(f"{item['id']}: asset {band.key!r} is {band.asset.get('type')}, expected a raster")
    count = max(len(band.asset.get(name) or []) for name in ("bands", "raster:bands"))
    if band.index < 1 or (count and band.index > count):
        raise SourceError(f"{item['id']}: asset {band.key!r} has {count} bands, the recipe asks for band {band.index}")
    return band


def _has_pixels(asset: Document) -> bool:
    return not _NO_PIXELS.search(re.sub(r"profile=\S+|cloud-optimized=\S+", "", str(asset.get("type") or "")))


def _is_picture(key: str, asset: Document) -> bool:
    return key in _PICTURES or bool(_roles(asset) & _PICTURES)


def _roles(asset: Document) -> set[str]:
    return set(asset.get("roles") or [])


def _has(assets: Mapping[str, Document]) -> str:
    listed = sorted(key for key, asset in assets.items() if _has_pixels(asset))
    return f"it has {', '.join(listed) or 'no asset with pixels'}"
