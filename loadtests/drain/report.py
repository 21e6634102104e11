"""Tables and thresholds of `loadtests.drain`."""

from collections.abc import Sequence
from typing import Any

from loadtests.drain.clients import LOST, Fate
from loadtests.drain.run import Drained
from loadtests.output.report import Check, Report, check_at_most
from loadtests.servers.server import ServerSpec


def add_results(
    report: Report, spec: ServerSpec, found: Sequence[Drained], exit_limit: float
) -> None:
    """Adds what was seen, and judges it."""
    report.paragraphs.append(f"`{spec.name}`, environment {dict(spec.environment)}.")
    head = ["clients", "answered before / after SIGTERM", "refused in order", "closed", "reset"]
    head += ["no answer", "other status", "refused at connect", "kept alive in the drain"]
    head += ["/readyz in the drain: 200 / not", "exit status", "s to exit", "s to the last answer"]
    report.add_table(
        "Requests by outcome. *closed*, *reset*, *no answer* and *other status* are "
        "lost requests; *refused at connect* is after SIGTERM, when the server accepts no more:",
        head,
        [_make_row(each) for each in found],
    )
    report.add_table(
        "After SIGTERM, in detail:",
        ["clients", ""],
        [
            [each.title, ", ".join(f"{label}: {n}" for label, n in each.log.labels.most_common())]
            for each in found
        ],
    )
    for each in found:
        _judge(report, each, exit_limit)
    report.data["scenarios"] = [_to_json(each) for each in found]


def _make_row(drained: Drained) -> list[str]:
    log = drained.log
    both = log.before + log.after
    return [
        drained.title,
        f"{log.before[Fate.ANSWERED]} / {log.after[Fate.ANSWERED]}",
        str(both[Fate.REFUSED]),
        str(both[Fate.CLOSED]),
        str(both[Fate.RESET]),
        str(both[Fate.UNANSWERED]),
        str(both[Fate.WRONG]),
        str(log.after[Fate.NOBODY])
        + (f" ({log.before[Fate.EARLY]} before)" * (Fate.EARLY in both)),
        str(log.kept_after),
        f"{log.ready_after} / {log.not_ready_after}",
        "killed" if drained.exit_status is None else str(drained.exit_status),
        f"{drained.exit_seconds:.2f}",
        f"{max(log.latest - log.told, 0.0):.2f}",
    ]


def _judge(report: Report, drained: Drained, exit_limit: float) -> None:
    name, log, status = drained.title, drained.log, drained.exit_status
    report.checks.append(check_at_most(f"{name}: lost requests", log.lost, 0))
    report.checks.append(
        check_at_most(f"{name}: /readyz answered 200 after SIGTERM", log.ready_after, 0)
    )
    found = "killed" if status is None else str(status)
    report.checks.append(Check(f"{name}: exit status", found, "0", status == 0))
    report.checks.append(
        check_at_most(f"{name}: from SIGTERM to the end", drained.exit_seconds, exit_limit, " s")
    )
    if not log.before[Fate.ANSWERED] + log.after[Fate.ANSWERED]:
        report.unfit.append(f"{name}: no request was answered at all")


def _to_json(drained: Drained) -> dict[str, Any]:
    log = drained.log
    return {
        "front": drained.front,
        "clients": drained.kind,
        "before": {str(fate): n for fate, n in log.before.items()},
        "after": {str(fate): n for fate, n in log.after.items()},
        "after_in_detail": dict(log.labels),
        "lost": {str(fate): log.before[fate] + log.after[fate] for fate in LOST},
        "kept_alive_in_the_drain": log.kept_after,
        "readyz_after": {"200": log.ready_after, "other": log.not_ready_after},
        "exit_status": drained.exit_status,
        "exit_seconds": round(drained.exit_seconds, 3),
        "last_answer_seconds": round(max(log.latest - log.told, 0.0), 3),
    }
