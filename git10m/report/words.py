"""The figures of a dataset as plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from git10m.report.measures import MEASURES

__all__ = ["facts", "in_words", "ledger"]

_SHOWN = 12
_TITLES = {
    "level": "level",
    "source_id": "source",
    "split": "split",
    "licence": "licence",
    "class": "land cover of the largest share",
    "caption_source": "caption by",
    "flags": "checks of captions",
    "enhanced": "enhanced by",
    "year": "year",
}


def facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the numbers that stand at the top of the page, each with its name."""
    counts = summary["counts"]
    levels = [int(level) for level in counts["level"] if level not in {"0", "not stated"}]
    found = [("tiles" if summary["accounting"]["kept"] != 1 else "tile", f"{summary['accounting']['kept']:,}")]
    if levels:
        found.append(("levels" if len(levels) > 1 else "level", _span(str(min(levels)), str(max(levels)))))
    if "gsd_m" in summary["quantiles"]:
        gsd = summary["quantiles"]["gsd_m"]
        found.append(("ground resolution, m/px", _span(f"{gsd['min']:.3g}", f"{gsd['max']:.3g}")))
    found.append(("sources" if len(counts["source_id"]) != 1 else "source", f"{len(counts['source_id']):,}"))
    if summary["acquired"]["first"]:
        found.append(("acquired", _span(summary["acquired"]["first"][:4], summary["acquired"]["last"][:4])))
    if summary["captions"]["rows"]:
        found.append(("captions", f"{summary['captions']['rows']:,}"))
    size = summary["bytes"]
    found.append(("shards", f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.2f} GB"))
    return found


def ledger(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what was asked of servers for captions, and what it cost, as the manifest tells it; empty: nothing was."""
    captions = manifest.get("captions")
    found = captions.get("requests") if isinstance(captions, Mapping) else None
    return _flat(found, "") if isinstance(found, Mapping) else []


def in_words(summary: Mapping[str, Any]) -> list[str]:
    """Return a summary as lines of plain text: the figures of the page."""
    accounting = summary["accounting"]
    dropped, failed = (sum(accounting[verdict].values()) for verdict in ("dropped", "failed"))
    lines = [f"{summary['name']} {summary['version']}{', synthetic' if summary['synthetic'] else ''}"]
    lines += [f"  {name}: {value}" for name, value in facts(summary)]
    lines.append("")
    lines.append(
        f"{accounting['planned']:,} planned = {accounting['kept']:,} kept + {dropped:,} dropped + {failed:,} failed"
        + ("" if accounting["balanced"] else "   THIS DOES NOT BALANCE: run git10m verify")
    )
    for step in accounting["steps"]:
        went = ", ".join(f"{reason} {count:,}" for reason, count in step["went"].items())
        if went:
            lines.append(f"  {step['name']}: {step['came']:,} came, {step['left']:,} left ({went})")
    for name, title in _TITLES.items():
        counts = summary["counts"].get(name, {})
        if counts and set(counts) != {"not stated"}:
            lines += ["", f"rows by {title}", *_table([(k, f"{v:,}") for k, v in list(counts.items())[:_SHOWN]])]
            if len(counts) > _SHOWN:
                lines.append(f"  and {len(counts) - _SHOWN} more")
    lines += [*_spreads(summary), *_captions(summary)]
    if asked := summary["requests"]:
        lines += ["", "asked of servers for captions", *_table([*ledger({"captions": {"requests": asked}})])]
    return lines


def _spreads(summary: Mapping[str, Any]) -> list[str]:
    names = ("count", "mean", "min", "p05", "p50", "p95", "max")
    rows: list[tuple[str, ...]] = [("", *names)]
    for name, measure in MEASURES.items():
        if found := summary["quantiles"].get(name):
            rows.append((measure.title + (f" ({measure.unit.strip()})" if measure.unit else ""), f"{found['count']:,}"))
            rows[-1] += tuple(f"{found[each] * measure.factor:,.4g}" for each in names[1:])
    return ["", "distributions", *_table(rows)] if len(rows) > 1 else []


def _captions(summary: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for writer, found in summary["captions"]["caption_source"].items():
        lines += [
            "",
            f"captions by {writer}: {found['captions']:,}, {'' if found['distinct_exact'] else 'about '}"
            f"{found['distinct']:,} different; {found['vocabulary']:,} words known, {found['words_mean']:.3g} a caption"
            + ("" if found["read"] == found["captions"] else f" (in {found['read']:,} that were read)"),
            *(f"  {100 * share:5.1f} %  {words} …" for words, share in found["openings"].items()),
        ]
    checks = summary["checks"]
    if checks["checked"]:
        lines += ["", f"checks: {checks['flagged']:,} of {checks['checked']:,} captions flagged"]
        lines += _table([(check, f"{count:,}") for check, count in checks["by_check"].items()])
    if rates := checks["hallucination"]:
        lines += ["", "hallucination rate (verifiable, contradicted, rate, 95 % interval)"]
        lines += _table([_rate(rate) for rate in rates])
    return lines


def _rate(rate: Mapping[str, Any]) -> tuple[str, ...]:
    name = "all" if rate["group"] == "all" else f"{rate['group'].replace('_', ' ')}: {rate['name']}"
    low, high = rate["interval"]
    counts = f"{rate['verifiable']:,}", f"{rate['contradicted']:,}"
    return name, *counts, f"{100 * rate['rate']:.2f} %", f"{100 * low:.2f}–{100 * high:.2f} %"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  "
        + "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    ]


def _flat(value: Mapping[str, Any], above: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, each in value.items():
        name = f"{above}{key}".replace("_", " ")
        if isinstance(each, Mapping):
            found += _flat(each, f"{name}, ")
        elif each is not None and not isinstance(each, list | tuple):
            found.append((name, f"{each:,}" if isinstance(each, int | float) else str(each)))
    return found[:60]


def _span(low: str, high: str) -> str:
    return low if low == high else f"{low}–{high}"
