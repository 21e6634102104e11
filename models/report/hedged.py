"""The section about hedged answers, from what models.hedge printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from models.records.hedging import HedgedLevel, HedgedRecord
from models.records.typed_json import parse_json
from runtime.measurement.tables import make_table

_HEAD = (
    *("asked %", "got % (95 % interval)", "information %", "one label %", "the root %"),
    *("plain: got %", "plain: information %", "far: the root %", "near: the root %"),
)
_TEXT = (
    "By `python -m models.hedge` ([how](README.md#hedged-answers)): what was asked and how many "
    "answers were right on images that fitted nothing; the information kept, of log2(labels), "
    "where a wrong answer keeps none; how many answers were a single label, and how many the "
    "root, which says nothing. Plain: the best label from a score on and the root below it, "
    "fitted in the same way. Far and near: images of other things, for which no certainty holds."
)


def read_hedged(folder: Path) -> dict[str, HedgedRecord]:
    """The records of a folder by their names. Raises DataError for a file that is none."""
    expected, remedy = "what models.hedge printed", "Measure it again."
    return {
        path.stem: parse_json(
            HedgedRecord, path.read_bytes(), where=str(path), expected=expected, remedy=remedy
        )
        for path in sorted(folder.glob("*.json"))
    }


def describe_hedged(records: Mapping[str, HedgedRecord]) -> list[str]:
    """The parts of the section; none of no records."""
    if not records:
        return []
    parts = ["## Hedged answers", _TEXT]
    for name, record in records.items():
        fitted, measured = record.fitted_on.images_known, record.measured_on.images_known
        parts += [
            f"### {name}",
            f"{record.bundle}, {record.labels:,} labels below {record.nodes} nodes; fitted on "
            f"{fitted:,} images of `{record.data}`, measured on {measured:,} others: top-1 "
            f"{_percent(record.top1)} %, an answer by all scores takes {record.answer_us:.0f} us "
            f"([record](runs/hedged/{name}.json)).",
            make_table(_HEAD, [_write_row(level) for level in record.levels]),
        ]
    return parts


def _write_row(level: HedgedLevel) -> Sequence[str]:
    low, high = map(_percent, level.interval)
    shares = (level.information, level.label, level.root, level.plain.got, level.plain.information)
    others = (level.root_far, level.root_near)
    return [
        f"{100 * level.certainty:g}",
        f"{_percent(level.got)} ({low} to {high})",
        *map(_percent, shares),
        *("-" if share is None else _percent(share) for share in others),
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
