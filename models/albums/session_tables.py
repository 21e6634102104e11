"""Makes tables of what was measured about sessions, and writes them into a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.albums.simulation import Figures
from models.errors import DataError
from runtime.measurement.tables import make_table

WAYS = {
    "alone": "alone",
    "means": "mean of logits",
    "chain": "chain",
    "session": "session variable",
    "default": "default rules",
}
STRANGERS_WAYS = {
    "alone": "alone",
    "default": "default rules",
    "default_without_none": 'without those about "none of these"',
}
MARKS = ("<!-- sessions: begin -->", "<!-- sessions: end -->")  # around the tables of a page


def make_page_table(records: Sequence[dict[str, Any]]) -> str:
    """Top-1, NLL and calibration error of each way and regime, a table for each bundle; then those
    with photos of nothing known among the others; then time and memory.
    """
    parts = []
    measured = [record for record in records if "regimes" in record]
    for record in measured:
        rows = [
            [regime, *(_format(figures[way]) for way in WAYS)]
            for regime, figures in record["regimes"].items()
        ]
        if videos := record.get("videos"):
            title = f"{videos['videos']} videos, {videos['frames']} frames"
            rows.append([title, *(_format(videos[way]) for way in WAYS)])
        head = [f"`{record['bundle']}` ({record['network']})", *WAYS.values()]
        parts.append(make_table(head, rows))
    rows = [
        [
            f"`{record['bundle']}`, {strangers['sessions']}, {strangers['strangers']} of "
            f"{strangers['images']:,} photos",
            *(_format_strangers(strangers[name]) for name in STRANGERS_WAYS),
        ]
        for record in measured
        if (strangers := record.get("strangers"))
    ]
    if rows:
        parts.append(make_table(["with strangers", *STRANGERS_WAYS.values()], rows))
    for record in records:
        if seconds := record.get("seconds"):
            parts.append(
                f"Reasoning about {record['photos']:,} photos in sessions of 4, {record['kinds']} "
                f"kinds: {seconds['median']:.2f} s ({seconds['min']:.2f} to {seconds['max']:.2f}) "
                f"and {record['mib_more_than_before']:.0f} MiB on one core ({record['device']})."
            )
    return "\n\n".join(parts)


def write_block(page: Path, text: str) -> None:
    """Writes the text between the MARKS of a page. Raises DataError for a page without them."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise DataError(
            f"{page}: expected the lines {MARKS[0]} and {MARKS[1]}; found a page without them. Put "
            "them where the tables belong."
        )
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def _format_strangers(figures: dict[str, Any]) -> str:
    all_of_them, strangers = (figures[name]["mean"] for name in ("top1", "top1_of_strangers"))
    return f"{100 * all_of_them:.1f} % / {100 * strangers:.1f} %"


def _format(figures: dict[str, dict[str, float]]) -> str:
    top1, nll, ece = (figures[name]["mean"] for name in Figures._fields)
    spread = figures["top1"]["deviation"]
    deviation = f" ± {100 * spread:.1f}" if spread else ""
    return f"{100 * top1:.1f}{deviation} % / {nll:.2f} / {100 * ece:.1f} %"
