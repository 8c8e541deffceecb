"""Which of the planned tiles are taken.

Every tile has a number between 0 and 1 that follows from the seed, its level and its place alone. Whoever is to be
left out is chosen by it, so a sample does not depend on other sources, on workers or on the order of tiles, all dates
of a tile share its fate where shares are drawn, and a larger share holds the smaller one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from git10m.errors import RegionError
from git10m.grid import FloatArray, IntArray, quadkey_number, tile_centres
from git10m.recipe import Cities, Sampling
from git10m.sampling.cities import distances_km, town_points
from git10m.sampling.major_tom import cell_centres, cell_indices
from git10m.sampling.plan import Plan
from git10m.sampling.strata import classes_of

__all__ = ["draws", "sampled"]

BoolArray = npt.NDArray[np.bool_]
_FARTHEST_SIGMAS = 5.0
_AT_ONCE = 500_000


def sampled(plan: Plan, sampling: Sampling) -> Plan:
    """Return the part of a plan that a recipe's rules take; images without a place are subject to counts alone.

    Args:
        plan: All tiles.
        sampling: As the recipe says, with absolute paths.

    Raises:
        RegionError: If nothing is left, or a file cannot be read.
        RecipeError: If a file holds nothing that can be used.
        SourceError: If a class raster cannot be read.
    """
    if sampling == Sampling(seed=sampling.seed) or not len(plan):
        return plan
    taken = plan if sampling.method == "all" else plan.taken(_by_method(plan, sampling))
    if sampling.no_overlap:
        kept = np.ones(len(taken), dtype=bool)
        placed = np.flatnonzero(taken.level > 0)
        kept[placed] = _without_overlap(taken, placed, draws(taken, seed=sampling.seed))
        taken = taken.taken(kept)
    if sampling.count is not None or sampling.most_per_level is not None or sampling.level_shares:
        taken = taken.taken(_within_counts(taken, draws(taken, seed=sampling.seed), sampling))
    if not len(taken):
        raise RegionError(
            f"sampling (method = {sampling.method!r}) leaves none of {len(plan)} tiles; loosen its rules, or widen the "
            "region"
        )
    return taken


def draws(plan: Plan, *, seed: int) -> FloatArray:
    """Return the number of each tile, 0 ≤ u < 1, float64."""
    number = np.empty(len(plan), dtype=np.float64)
    for part in _pieces(len(plan)):
        number[part] = _draws(plan.taken(part), seed)
    return number


def _draws(plan: Plan, seed: int) -> FloatArray:
    address = np.where(
        plan.level > 0,
        quadkey_number(plan.x.astype(np.int64), plan.y.astype(np.int64)),
        plan.entry.astype(np.int64) | (plan.group.astype(np.int64) << 32),
    )
    key = address.view(np.uint64) ^ (plan.level.astype(np.uint64) << np.uint64(58))
    # Two rounds of the finaliser of SplitMix64 (Steele, Lea & Flood 2014), the seed in between.
    mixed = _mixed(_mixed(key) ^ np.uint64((seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) % 2**64))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _pieces(count: int) -> Iterator[slice]:
    """Yield slices of a long array: what is computed on the way takes many times the memory of the result."""
    yield from (slice(start, start + _AT_ONCE) for start in range(0, count, _AT_ONCE))


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _by_method(plan: Plan, sampling: Sampling) -> BoolArray:
    """Tell which tiles the method takes; images without a place stay, but for a share of them."""
    if sampling.method == "random":
        share = 1.0 if sampling.share is None else sampling.share
        return np.asarray(draws(plan, seed=sampling.seed) < share)
    kept = np.ones(len(plan), dtype=bool)
    for level in np.unique(plan.level[plan.level > 0]).tolist():
        at: Any = np.flatnonzero(plan.level == level)
        at = slice(None) if len(at) == len(plan) else at
        own = plan.taken(at)
        if sampling.method == "cities":
            kept[at] = _around_towns(own, level, sampling)
        elif sampling.method == "major_tom":
            kept[at] = _next_to_centres(own, level, cell_km=sampling.cell_km)
        else:
            kept[at] = _of_strata(own, level, sampling)
    return kept


def _around_towns(plan: Plan, level: int, sampling: Sampling) -> BoolArray:
    cities = sampling.cities or Cities()
    towns, far = town_points(cities), _FARTHEST_SIGMAS * cities.sigma_km
    kept = np.zeros(len(plan), dtype=bool)
    for part in _pieces(len(plan)):
        own = plan.taken(part)
        distance = distances_km(level, own.x.astype(np.int64), own.y.astype(np.int64), towns=towns, most_km=far)
        kept[part] = _draws(own, sampling.seed) < np.exp(-0.5 * (distance / cities.sigma_km) ** 2)
    return kept


def _next_to_centres(plan: Plan, level: int, *, cell_km: float) -> BoolArray:
    """Of the tiles whose centres lie in a cell take the one next to its centre, for each group."""
    groups = int(plan.group.max()) + 1
    cell, distance = np.empty(len(plan), dtype=np.int64), np.empty(len(plan), dtype=np.float32)
    for part in _pieces(len(plan)):
        lon, lat = tile_centres(level, plan.x[part].astype(np.int64), plan.y[part].astype(np.int64))
        row, column = cell_indices(lon, lat, cell_km=cell_km)
        middle_lon, middle_lat = cell_centres(row, column, cell_km=cell_km)
        turn = (lon - middle_lon + 180.0) % 360.0 - 180.0
        distance[part] = (lat - middle_lat) ** 2 + (turn * np.cos(np.radians(lat))) ** 2
        # Rows and columns stay below 2**17 at cells of 1 km.
        cell[part] = ((row + (1 << 17)) << 19 | (column + (1 << 18))) * groups + plan.group[part]
    return _rank(distance, cell) < 1


def _of_strata(plan: Plan, level: int, sampling: Sampling) -> BoolArray:
    assert sampling.strata is not None
    classes = classes_of(level, plan.x.astype(np.int64), plan.y.astype(np.int64), strata=sampling.strata)
    names, code = np.unique(classes.astype(str), return_inverse=True)
    counts = {name: int((code == i).sum()) for i, name in enumerate(names.tolist()) if name}
    if not counts:
        return np.zeros(len(plan), dtype=bool)
    most = sampling.strata.most or min(counts.values())
    return np.asarray((_rank(draws(plan, seed=sampling.seed), code) < most) & (names[code] != ""))


def _rank(number: npt.NDArray[np.floating[Any]], members: IntArray) -> npt.NDArray[np.int32]:
    """Return the position of each item among those of its set, by number and then by order."""
    order = np.lexsort((number, members))
    members = members[order]
    starts = np.concatenate([[0], np.flatnonzero(members[1:] != members[:-1]) + 1])
    del members
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32) - np.repeat(
        starts.astype(np.int32), np.diff(np.append(starts, len(order)))
    )
    return rank


def _within_counts(plan: Plan, number: FloatArray, sampling: Sampling) -> BoolArray:
    """Keep the tiles of the smallest numbers: so many a level, in given shares, or altogether."""
    levels, counts = np.unique(plan.level, return_counts=True)
    most = dict(zip(levels.tolist(), counts.tolist(), strict=True))
    if sampling.most_per_level is not None:
        most = {level: min(count, sampling.most_per_level) for level, count in most.items()}
    if sampling.level_shares:
        wanted = {level: share for level, share in sampling.level_shares.items() if share > 0}
        total = min((most.get(level, 0) / share for level, share in wanted.items()), default=0.0)
        total = min(total, sampling.count) if sampling.count is not None else total
        most = {level: int(total * wanted.get(level, 0.0) + 1e-9) for level in most}
    kept = np.ones(len(plan), dtype=bool)
    for level, count in most.items():
        at = np.flatnonzero(plan.level == level)
        kept[at[_order(plan, number, at)[count:]]] = False
    if sampling.count is not None and not sampling.level_shares:
        at = np.flatnonzero(kept)
        kept[at[_order(plan, number, at)[sampling.count :]]] = False
    return kept


def _order(plan: Plan, number: FloatArray, at: IntArray) -> IntArray:
    """Sort some tiles by their numbers; the dates of a tile, which share it, by their groups."""
    return np.lexsort((plan.group[at], number[at]))


def _without_overlap(plan: Plan, at: IntArray, number: FloatArray) -> BoolArray:
    """Of tiles that lie in one another take one: round by round the tile of the smallest number among its relatives.

    Dates and layers of one tile do not overlap each other.
    """
    level = plan.level[at].astype(np.int64)
    code = quadkey_number(plan.x[at].astype(np.int64), plan.y[at].astype(np.int64))
    key = (level << 48) | code
    unique, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    level, code, draw = level[first], code[first], number[at][first]
    levels = np.unique(level).tolist()
    taken, open_ = np.zeros(len(unique), dtype=bool), np.ones(len(unique), dtype=bool)
    while open_.any():
        least = _least_of_relatives(level, code, np.where(open_, draw, np.inf), levels)
        winners = open_ & (draw < least)
        taken |= winners
        beaten = _least_of_relatives(level, code, np.where(winners, -1.0, np.inf), levels) < 0
        open_ &= ~winners & ~beaten
    return taken[inverse]


def _least_of_relatives(level: IntArray, code: IntArray, number: FloatArray, levels: list[int]) -> FloatArray:
    """Return for each tile the smallest number among the tiles above and below it."""
    least = np.full(len(code), np.inf)
    at = {each: np.flatnonzero(level == each) for each in levels}
    for coarse, fine in itertools.combinations(levels, 2):
        above, below = at[coarse], at[fine]
        # Codes of one level are sorted, and so are those of the parents.
        place = np.searchsorted(code[above], code[below] >> (2 * (fine - coarse)))
        place = np.minimum(place, len(above) - 1)
        related = code[above][place] == code[below] >> (2 * (fine - coarse))
        parents, children = above[place[related]], below[related]
        least[children] = np.minimum(least[children], number[parents])
        np.minimum.at(least, parents, number[children])
    return least
