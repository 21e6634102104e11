"""What models.attack prints: a table for people at a terminal, the record as JSON elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from models.records.attack import TOO_WEAK, AttackRecord, DefenceFigures, Share
from models.records.typed_json import as_json


def print_record(record: AttackRecord) -> None:
    """On the standard output."""
    if sys.stdout.isatty():
        print("\n".join(tell_record(record)))
    else:
        print(json.dumps(as_json(record)))


def tell_record(record: AttackRecord) -> Iterator[str]:
    """Lines: what was attacked, a row for each attack and eps, checks, defence, the verdict."""
    yield f"{record.network}, {record.side} pixels, gradients: {record.gradients or 'none'}"
    yield f"right on {tell_share(record.clean)} of {record.data}; {record.images} attacked"
    yield f"{'attack':<12}{'eps':>6}  {'stays right':<24}{'rounded':<24}as a file"
    for row in record.results:
        shares = [tell_share(share) for share in (row.stays, row.rounded, row.file)]
        yield f"{row.attack:<12}{row.eps:>6g}  {shares[0]:<24}{shares[1]:<24}{shares[2]}"
    for queries in record.queries_to_success:
        if queries.needed:
            middle = queries.needed[len(queries.needed) // 2]
            yield f"square, eps {queries.eps:g}: {middle} queries to success (median)"
    for check in record.checks:
        yield f"{'passed' if check.passed else 'FAILED'}: {check.name} ({check.told})"
    if record.defence is not None:
        yield from tell_defence(record.defence)
    yield "all self-checks passed" if record.strong else TOO_WEAK


def tell_share(share: Share) -> str:
    """With its interval: "40.0 % (31.2-49.5)"."""
    return f"{share.percent:.1f} % ({share.low:.1f}-{share.high:.1f})"


def tell_defence(defence: DefenceFigures) -> Iterator[str]:
    """Both terms of the score, and the score."""
    yield (
        f"defence {defence.name}: accuracy {defence.accuracy_without:g} -> {defence.accuracy:g} %, "
        f"cost {defence.cost:g} points (standard error {defence.standard_error:g})"
    )
    for score in defence.scores:
        gain = score.failed - score.failed_without
        yield (
            f"  eps {score.eps:g}: attacks that fail {score.failed_without:g} -> {score.failed:g} %"
            f" ({score.strongest}), gain {gain:.1f} points; DES {tell_des(score.des)}"
        )


def tell_des(des: float | None) -> str:
    """The score, or why there is none."""
    return "no measurable cost" if des is None else f"{des:.2f}"
