"""``NOTICE``: every credit line and licence of what is published, as text that stands on its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from git10m.publish.licences import UNSTATED, strictest, understand
from git10m.publish.survey import Survey

__all__ = ["notice"]


def notice(manifest: Mapping[str, Any], found: Survey) -> str:
    """Return the text of a ``NOTICE``.

    Args:
        manifest: Of what is published; ``fact_sources`` names what captions were told from.
        found: Of its rows.
    """
    lines = [f"{_line(manifest['name'])}, version {_line(manifest['version'])}", ""]
    if manifest.get("synthetic"):
        lines += [
            f"Synthetic: in {found.synthetic:,} of {found.rows:,} rows the imagery was computed, not observed.",
            "",
        ]
    lines += ["This dataset holds imagery of others, cut into tiles, warped, stretched and encoded anew.", ""]
    credits: dict[str, dict[str, int]] = defaultdict(dict)
    for (licence, credit), rows in sorted(found.credits.items()):
        credits[licence][credit] = rows
    for licence, named in sorted(credits.items()):
        lines += _licence(licence, found)
        lines += [
            f"    {_line(credit) if credit else '(no credit line is stated)'}: {n:,} rows"
            for credit, n in named.items()
        ]
        lines.append("")
    facts = manifest.get("fact_sources") or []
    if facts:
        lines += ["Captions and facts were told from:", ""]
        for fact in facts:
            credit = f": {_line(fact['attribution'])}" if fact.get("attribution") else ""
            lines.append(f"    {_line(fact['name'])} ({_line(fact.get('licence') or 'licence not stated')}){credit}")
        lines.append("")
    asks = strictest([*found.licences, *(fact["licence"] for fact in facts if fact.get("licence"))])
    if asks:
        lines += ["Taken together (no legal advice):", "", *(f"    {sentence}" for sentence in asks), ""]
    return "\n".join(lines)


def _licence(name: str, found: Survey) -> list[str]:
    licence = understand(name)
    lines = ["No licence is stated" if name == UNSTATED else name]
    worded = sorted(_line(text) for text in found.wordings.get(name, ()) if text != name)
    lines += [f"  stated as: {text}" for text in worded]
    return [*lines, *([f"  {licence.url}"] if licence.url and licence.url != name else [])]


def _line(text: object) -> str:
    return " ".join(str(text).split())
