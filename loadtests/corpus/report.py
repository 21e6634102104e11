"""Tables and thresholds of `loadtests.corpus`."""

from collections import Counter
from collections.abc import Sequence

from loadtests.clients.outcomes import Outcome
from loadtests.corpus.run import Posted
from loadtests.output.figures import LATENCY_HEAD, format_ms, measure_latencies
from loadtests.output.report import Check, Report, check_at_most
from loadtests.servers.processes import Usage, format_bytes

_SHOWN = 10  # of the slowest
_FAULTS_SHOWN = 50


def add_results(
    report: Report, posted: Sequence[Posted], after: Outcome, usage: Usage | None
) -> None:
    """Adds what was measured, and judges it; no usage where the service runs elsewhere."""
    counts: dict[str, Counter[str]] = {}
    for each in posted:
        counts.setdefault(each.kind, Counter())[each.outcome.label] += 1
    report.add_table(
        "Answers by the ending of the name:",
        ["ending", "files", "answers"],
        [
            [kind, str(c.total()), ", ".join(f"{label}: {n}" for label, n in c.most_common())]
            for kind, c in sorted(counts.items())
        ],
    )
    latencies = measure_latencies(each.outcome.latency for each in posted)
    report.add_table("Latency:", LATENCY_HEAD, [latencies.cells()])
    slowest = sorted(posted, key=lambda each: each.outcome.latency, reverse=True)[:_SHOWN]
    report.add_table("The slowest:", ["file", "bytes", "ms", "answer"], [_row(e) for e in slowest])
    faults = [each for each in posted if each.faulty]
    if faults:
        rows = [_row(each) for each in faults[:_FAULTS_SHOWN]]
        report.add_table("Faults:", ["file", "bytes", "ms", "answer"], rows)
    if usage is not None:
        report.paragraphs.append(
            f"RSS afterwards {format_bytes(usage.rss_bytes)} MiB, largest "
            f"{format_bytes(usage.peak_bytes)} MiB, descriptors {usage.descriptors}, threads "
            f"{usage.threads}."
        )
    errors = sum(1 for e in faults if not e.outcome.lost)
    report.checks += [
        check_at_most("answers 500, 501, 502, ...", errors, 0),
        check_at_most("files without an answer", len(faults) - errors, 0),
        Check("an ordinary image afterwards", after.label, "200", after.status == 200),
    ]
    report.data = {
        "files": len(posted),
        "answers": {kind: dict(c) for kind, c in counts.items()},
        "slowest": [_to_json(each) for each in slowest],
        "faults": [_to_json(each) for each in faults],
        "rss_bytes": usage.rss_bytes if usage else None,
        "peak_bytes": usage.peak_bytes if usage else None,
    }


def _row(each: Posted) -> list[str]:
    ms = format_ms(each.outcome.latency * 1000)
    return [each.path.name.replace("|", "/"), str(each.size), ms, each.outcome.label]


def _to_json(each: Posted) -> dict[str, object]:
    ms = round(each.outcome.latency * 1000, 2)
    return {"file": str(each.path), "bytes": each.size, "ms": ms, "answer": each.outcome.label}
