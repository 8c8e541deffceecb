"""Which of the planned tiles are taken.

Every tile has a number between 0 and 1 that follows from the seed, its level and its place alone. Whoever is to be
left out is chosen by it, so a sample does not depend on other sources, on workers or on the order of tiles, all dates
of a tile share its fate where shares are drawn, and a larger share holds the smaller one.
"""

from __future__ import annotations

import itertools

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
    number = draws(plan, seed=sampling.seed)
    kept = np.ones(len(plan), dtype=bool)
    placed = plan.level > 0
    if sampling.method == "random" and sampling.share is not None:
        kept &= number < sampling.share
    elif sampling.method in {"stratified", "cities", "major_tom"}:
        for level in np.unique(plan.level[placed]).tolist():
            at = np.flatnonzero(plan.level == level)
            kept[at] = _of_level(plan, at, number[at], level, sampling)
    if sampling.no_overlap:
        kept[kept & placed] = _without_overlap(plan, np.flatnonzero(kept & placed), number)
    kept = _within_counts(plan, kept, number, sampling)
    if not kept.any():
        raise RegionError(
            f"sampling (method = {sampling.method!r}) leaves none of {len(plan)} tiles; loosen its rules, or widen the "
            "region"
        )
    return plan.taken(kept)


def draws(plan: Plan, *, seed: int) -> FloatArray:
    """Return the number of each tile, 0 ≤ u < 1, float64."""
    address = np.where(
        plan.level > 0,
        quadkey_number(plan.x.astype(np.int64), plan.y.astype(np.int64)),
        plan.entry.astype(np.int64) | (plan.group.astype(np.int64) << 32),
    )
    key = address.view(np.uint64) ^ (plan.level.astype(np.uint64) << np.uint64(58))
    # Two rounds of the finaliser of SplitMix64 (Steele, Lea & Flood 2014), the seed in between.
    mixed = _mixed(_mixed(key) ^ np.uint64((seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) % 2**64))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _of_level(plan: Plan, at: IntArray, number: FloatArray, level: int, sampling: Sampling) -> BoolArray:
    """Tell which tiles of one level the method takes."""
    x, y = plan.x[at].astype(np.int64), plan.y[at].astype(np.int64)
    if sampling.method == "cities":
        cities = sampling.cities or Cities()
        far = _FARTHEST_SIGMAS * cities.sigma_km
        distance = distances_km(level, x, y, towns=town_points(cities), most_km=far)
        near: BoolArray = number < np.exp(-0.5 * (distance / cities.sigma_km) ** 2)
        return near
    if sampling.method == "major_tom":
        return _next_to_centres(level, x, y, plan.group[at].astype(np.int64), cell_km=sampling.cell_km)
    assert sampling.strata is not None
    classes = classes_of(level, x, y, strata=sampling.strata)
    names, code = np.unique(classes.astype(str), return_inverse=True)
    counts = {name: int((code == i).sum()) for i, name in enumerate(names.tolist()) if name}
    if not counts:
        return np.zeros(len(at), dtype=bool)
    most = sampling.strata.most or min(counts.values())
    return np.asarray((_rank(number, code, plan.group[at].astype(np.int64)) < most) & (names[code] != ""))


def _next_to_centres(level: int, x: IntArray, y: IntArray, group: IntArray, *, cell_km: float) -> BoolArray:
    """Of the tiles whose centres lie in a cell take the one next to its centre, for each group."""
    lon, lat = tile_centres(level, x, y)
    row, column = cell_indices(lon, lat, cell_km=cell_km)
    middle_lon, middle_lat = cell_centres(row, column, cell_km=cell_km)
    turn = (lon - middle_lon + 180.0) % 360.0 - 180.0
    distance = (lat - middle_lat) ** 2 + (turn * np.cos(np.radians(lat))) ** 2
    _, cell = np.unique(row << 32 | (column & 0xFFFFFFFF), return_inverse=True)
    return np.asarray(_rank(distance, cell * (int(group.max()) + 1) + group, quadkey_number(x, y)) < 1)


def _rank(number: FloatArray, members: IntArray, then: IntArray) -> IntArray:
    """Return the position of each item among those of its set, by number and then by another key."""
    order = np.lexsort((then, number, members))
    sorted_members = members[order]
    starts = np.concatenate([[0], np.flatnonzero(sorted_members[1:] != sorted_members[:-1]) + 1])
    sizes = np.diff(np.append(starts, len(order)))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    return rank


def _within_counts(plan: Plan, kept: BoolArray, number: FloatArray, sampling: Sampling) -> BoolArray:
    """Keep the tiles of the smallest numbers: so many a level, in given shares, or altogether."""
    most = dict.fromkeys(np.unique(plan.level[kept]).tolist(), int(kept.sum()))
    if sampling.most_per_level is not None:
        most = {level: min(count, sampling.most_per_level) for level, count in most.items()}
    if sampling.level_shares:
        have = {level: min(most.get(level, 0), int((kept & (plan.level == level)).sum())) for level in most}
        wanted = {level: share for level, share in sampling.level_shares.items() if share > 0}
        total = min((have.get(level, 0) / share for level, share in wanted.items()), default=0.0)
        total = min(total, sampling.count) if sampling.count is not None else total
        most = {level: int(total * wanted.get(level, 0.0) + 1e-9) for level in most}
    elif sampling.count is not None:
        chosen = np.flatnonzero(kept)
        order = np.lexsort((plan.group[chosen], number[chosen]))
        kept = np.zeros_like(kept)
        kept[chosen[order[: sampling.count]]] = True
    for level, count in most.items():
        at = np.flatnonzero(kept & (plan.level == level))
        if len(at) > count:
            order = np.lexsort((plan.group[at], number[at]))
            kept[at[order[count:]]] = False
    return kept


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
