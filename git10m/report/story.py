"""The story of a curation: how many tiles went at each step, and the rules that were in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from git10m.recipe.curation import Curation
from git10m.recipe.tables import Splits, Tiles

__all__ = ["STEPS", "Step", "passes", "rules", "steps"]


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a build that tiles may not survive.

    Attributes:
        name: As the report calls it.
        does: What happens in it, in a few words.
        reasons: Reasons that belong to it; of ``"failed"`` and of the verdicts: all that belong nowhere else.
        verdict: ``"failed"`` or ``"dropped"``.
    """

    name: str
    does: str
    reasons: frozenset[str]
    verdict: str = "dropped"


STEPS = (
    Step("Reading", "pixels come from the sources", frozenset(), "failed"),
    Step("Verdicts", "each tile is judged by its own measures", frozenset()),
    Step("Placeholders", "served pictures that stand for missing imagery go", frozenset({"placeholder"})),
    Step("Other sets", "nothing may be like an image of these", frozenset({"evaluation_set", "other_dataset"})),
    Step("Families", "tiles without their parent or children go", frozenset({"unpaired"})),
    Step("Duplicates", "of images that are alike the best stays", frozenset({"exact_duplicate", "near_duplicate"})),
    Step("Same place", "of several dates or layers of a place some go", frozenset({"same_place"})),
    Step("Quotas", "no kind of tile is more than its share", frozenset({"quota"})),
    Step("Splits", "training tiles too near to held-out ones go", frozenset({"held_out_copy", "split_buffer"})),
    Step("Captions", "images that their captions fit worst go", frozenset({"low_similarity"})),
)
"""Steps in the order in which tiles meet them (families are looked at again after each)."""

_FIRST_PASS, _SECOND_PASS = 2, 1
"""Steps before the whole set is looked at, and after that."""
_NAMED = frozenset().union(*(step.reasons for step in STEPS))


def steps(accounting: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return for each step how many tiles came to it, went at it by reason, and were left.

    Args:
        accounting: Of a summary: ``planned``, and ``dropped`` and ``failed`` by reason.

    Returns:
        ``name``, ``does``, ``came``, ``went`` (by reason), ``left``. A reason that this version does not know counts
        for the verdicts.
    """
    left, found = int(accounting["planned"]), []
    for step in STEPS:
        mine = {
            reason: int(count)
            for reason, count in accounting[step.verdict].items()
            if (reason in step.reasons if step.reasons else step.verdict == "failed" or reason not in _NAMED)
        }
        came, left = left, left - sum(mine.values())
        found.append({"name": step.name, "does": step.does, "came": came, "went": mine, "left": left})
    return found


def passes(accounting: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the equation of each pass of a build: what came is what was kept, dropped and failed.

    Args:
        accounting: As in `steps`.

    Returns:
        ``name``, ``came``, ``kept``, ``dropped``, ``failed``.
    """
    found = steps(accounting)
    failed = sum(found[0]["went"].values())
    parts = {
        "First pass: a tile at a time": found[:_FIRST_PASS],
        "Barrier: the whole set": found[_FIRST_PASS:-_SECOND_PASS],
        "Second pass: captions and shards": found[-_SECOND_PASS:],
    }
    told = []
    for number, (name, part) in enumerate(parts.items()):
        lost = failed if number == 0 else 0
        came, left = part[0]["came"], part[-1]["left"]
        told.append({"name": name, "came": came, "kept": left, "dropped": came - left - lost, "failed": lost})
    return told


def rules(recipe: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return the rules of curation that were in force, in words; what the recipe left out has its default.

    Args:
        recipe: As the manifest keeps it.
    """
    said = recipe or {}
    try:
        tiles = Tiles.model_validate(_known(Tiles, said.get("tiles")))
        curation = Curation.model_validate(_known(Curation, said.get("curation")))
        splits = Splits.model_validate(_known(Splits, said.get("splits")))
    except ValidationError:
        return []
    found = [("valid pixels of a tile", f"at least {100 * tiles.min_valid:g} %")]
    for name, value in curation.verdicts.model_dump().items():
        if value is not None:
            end, _, measure = name.partition("_")
            found.append((measure.replace("_", " "), f"{'at least' if end == 'min' else 'at most'} {value:g}"))
    alike = curation.duplicates
    found.append(("same bytes", "one stays" if alike.exact else "all stay"))
    near = f"one stays, from a likeness of {alike.least_likeness:g}" + (", turned ones too" if alike.turned else "")
    found.append(("near-duplicates", near if alike.near else "all stay"))
    of_place = {"all": "all stay", "changed": "those that differ from a better one stay", "best": "the best stays"}
    found.append(("several pictures of a place", of_place[alike.same_place]))
    found += [(f"apart from {each.name}", "nothing like an image of it stays") for each in curation.against]
    found += [(f"quota of {quota.kind}", f"at most {100 * quota.most:g} % of the dataset") for quota in curation.quotas]
    shares = f"{100 * splits.validation:g} % validation, {100 * splits.test:g} % test"
    extra = [f"{splits.buffer_m:g} m between them and training"] if splits.buffer_m else []
    extra += ["stratified by level"] if splits.stratified else []
    found.append(("splits, by whole cells", ", ".join([shares, *extra])))
    return found


def _known(table: type[Any], said: Any) -> dict[str, Any]:
    """Return what a table of a recipe says under keys that this version has: an older report must open too."""
    return {key: value for key, value in (said or {}).items() if key in table.model_fields}
