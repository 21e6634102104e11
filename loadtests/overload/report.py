"""Tables and thresholds of `loadtests.overload`."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from loadtests.clients.outcomes import count_labels
from loadtests.output.figures import LATENCY_HEAD, measure_latencies
from loadtests.output.report import Check, Report, check_at_least, check_at_most
from loadtests.overload.run import OverloadRun
from loadtests.servers.processes import format_bytes
from loadtests.servers.server import ServerSpec

_OVERLOADED = 1.5  # times the best rate: from here on something must be refused


def add_results(
    report: Report, spec: ServerSpec, runs: Sequence[OverloadRun], options: argparse.Namespace
) -> None:
    """Adds what was measured, and judges it."""
    report.paragraphs.append(
        f"`{spec.name}`, environment {dict(spec.environment)}. Latencies count from the time a "
        f"request was due, the deadline is {options.deadline_ms} ms."
    )
    _add_rates(report, runs)
    _add_latencies(report, runs)
    _add_probes(report, runs)
    for run in runs:
        _judge(report, run, options)
    report.data["runs"] = [_to_json(run) for run in runs]


def _add_rates(report: Report, runs: Sequence[OverloadRun]) -> None:
    head = ["connections", "best rate /s", "offered /s", "accepted /s", "of the best"]
    head += ["RSS peak MiB", "RSS after MiB", "generator: lag p99 ms", "CPU"]
    rows = [
        [
            run.connections,
            f"{run.best_rate:.1f}",
            f"{run.offered_rate:.1f}",
            f"{run.rate:.1f}",
            f"{run.rate / run.best_rate:.0%}",
            format_bytes(run.samples.peak_rss_bytes),
            format_bytes(run.rss_after_bytes),
            f"{run.lag.p99_ms:.1f}",
            f"{run.lag.generator.share:.0%}",
        ]
        for run in runs
    ]
    report.add_table("Rates and memory:", head, rows)


def _add_latencies(report: Report, runs: Sequence[OverloadRun]) -> None:
    rows = []
    for run in runs:
        for label in count_labels(run.outcomes):
            chosen = [o.latency for o in run.outcomes if o.label == label]
            rows.append([run.connections, label, *measure_latencies(chosen).cells()])
        for label, count in run.stalled.counts.items() if run.stalled else ():
            rows.append([run.connections, f"stalled client: {label}", str(count), "", "", "", ""])
    report.add_table("Requests by outcome:", ["connections", "", *LATENCY_HEAD], rows)


def _add_probes(report: Report, runs: Sequence[OverloadRun]) -> None:
    rows = []
    for run in runs:
        for (path, how), outcomes in run.probes.outcomes.items():
            statuses = ", ".join(f"{label}: {n}" for label, n in count_labels(outcomes).items())
            cells = measure_latencies(o.latency for o in outcomes).cells()
            rows.append([run.connections, f"`{path}`, {how}", *cells, statuses])
    head = ["load on connections", "probe, on", *LATENCY_HEAD, "answers"]
    report.add_table("Probes meanwhile:", head, rows)


def _judge(report: Report, run: OverloadRun, options: argparse.Namespace) -> None:
    name, accepted, refused = f"{run.connections} connections", run.accepted, run.refused
    deadline = f"<= {options.deadline_ms} ms"
    report.unfit += [f"{name}: {r}" for r in run.lag.judge(options.max_lag_ms)]
    checks = report.checks
    if accepted.count:
        checks.append(
            check_at_most(f"{name}: accepted, p99", accepted.p99_ms, options.deadline_ms, " ms")
        )
    else:
        checks.append(Check(f"{name}: accepted, p99", "none accepted", deadline, held=False))
    if refused.count:
        checks.append(
            check_at_most(f"{name}: 429, p99", refused.p99_ms, options.max_refusal_ms, " ms")
        )
        without = sum(o.status == 429 and not o.retry_after for o in run.outcomes)
        checks.append(check_at_most(f"{name}: 429 without Retry-After", without, 0))
    elif options.times * (1 - options.stalled) >= _OVERLOADED:
        limit = f"<= {options.max_refusal_ms:g} ms"
        checks.append(Check(f"{name}: 429, p99", "none refused", limit, held=False))
    lost = sum(1 for o in run.outcomes if o.lost)
    checks.append(check_at_most(f"{name}: requests without an answer", lost, 0))
    faults = sum(1 for o in run.outcomes if o.status >= 500 and o.status not in (503, 504))
    checks.append(check_at_most(f"{name}: answers 500, 501, 502, ...", faults, 0))
    probe_ms = run.probes.max_seconds * 1000
    checks.append(check_at_most(f"{name}: slowest probe", probe_ms, options.max_probe_ms, " ms"))
    unanswered = sum(1 for p in run.probes.outcomes.values() for o in p if o.status != 200)
    checks.append(check_at_most(f"{name}: probes not answered 200", unanswered, 0))
    share = run.rate / run.best_rate
    checks.append(check_at_least(f"{name}: accepted / best rate", share, options.min_rate))
    if options.memory_budget:
        peak = run.samples.peak_rss_bytes
        found, limit = f"{format_bytes(peak)} MiB", f"<= {format_bytes(options.memory_budget)} MiB"
        checks.append(Check(f"{name}: RSS peak", found, limit, peak <= options.memory_budget))
    after = "200" if run.answers_after else "no 200"
    checks.append(Check(f"{name}: a request afterwards", after, "200", run.answers_after))


def _to_json(run: OverloadRun) -> dict[str, Any]:
    return {
        "connections": run.connections,
        "best_rate": round(run.best_rate, 2),
        "offered_rate": round(run.offered_rate, 2),
        "rate": round(run.rate, 2),
        "outcomes": count_labels(run.outcomes),
        "accepted": asdict(run.accepted),
        "refused": asdict(run.refused),
        "stalled": dict(run.stalled.counts) if run.stalled else {},
        "probes": {
            f"{path}, {how}": {
                **asdict(measure_latencies(o.latency for o in outcomes)),
                "answers": count_labels(outcomes),
            }
            for (path, how), outcomes in run.probes.outcomes.items()
        },
        "rss_peak_bytes": run.samples.peak_rss_bytes,
        "rss_after_bytes": run.rss_after_bytes,
        "lag_p99_ms": round(run.lag.p99_ms, 3),
        "generator_cpu_share": round(run.lag.generator.share, 3),
        "answers_after": run.answers_after,
    }
