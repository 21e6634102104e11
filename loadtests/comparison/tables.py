"""Tables, figures as JSON and checks of a comparison."""

import argparse
from collections.abc import Sequence
from typing import Any

from loadtests.comparison.checks import judge_generator, judge_metrics
from loadtests.comparison.run import CaseRun, Result
from loadtests.comparison.turns import find_percentiles
from loadtests.comparison.wrk import ABSENT
from loadtests.output.figures import (
    Ratio,
    bootstrap_ratio,
    find_median,
    format_ms,
    measure_spread,
    to_json,
)
from loadtests.output.report import Report
from loadtests.servers.processes import format_bytes

SHARES = (0.5, 0.95, 0.99, 0.999)
_SHORT_HEAD = [
    *("network", "engine", "CPU ms an image", "of ours", "images/s", "idle / peak MiB"),
    *("above no model", "model MiB", "s to ready", "top-1"),
]


class Names:
    """Short names of a case's sides: the title, and where titles are equal the bundle's folder."""

    def __init__(self, results: Sequence[Result]) -> None:
        titles = [result.facts.title for result in results]
        named = [
            title if titles.count(title) == 1 else f"{title} ({result.facts.folder})"
            for title, result in zip(titles, results, strict=True)
        ]
        self.of = [
            name if named.count(name) == 1 else f"{name} #{number}"
            for number, name in enumerate(named, 1)
        ]


def compare_cpu(results: Sequence[Result], index: int) -> Ratio:
    """CPU time of a side as a share of the first one's: below 1, it needs less than ours."""
    ours, theirs = ([t.cpu_ms for t in results[i].closed] for i in (0, index))
    return bootstrap_ratio(theirs, ours)


def make_rows(run: CaseRun, no_model: dict[str, float]) -> list[list[str]]:
    """The table that stands for a case."""
    rows = []
    for index, (name, result) in enumerate(zip(Names(run.results).of, run.results, strict=True)):
        assert result.peak is not None
        base = no_model.get(result.facts.engine.partition("/")[0])
        peak = result.peak.peak_bytes
        idle = find_median(usage.rss_bytes for usage in result.idle)
        ratio = compare_cpu(run.results, index).format() if index else "1"
        rows.append(
            [
                name,
                result.facts.engine,
                measure_spread(turn.cpu_ms for turn in result.closed).format(),
                ratio,
                measure_spread(turn.rate for turn in result.closed).format(0),
                f"{format_bytes(idle)} / {format_bytes(peak)}",
                "" if base is None else format_bytes(peak - base),
                f"{result.facts.model_bytes / 2**20:.2f}",
                f"{find_median(result.starts):.2f}",
                result.accuracy.format() if result.accuracy else result.facts.record,
            ]
        )
    return rows


def add_case(
    report: Report, run: CaseRun, options: argparse.Namespace, no_model: dict[str, float]
) -> None:
    """All tables of a case, its figures as JSON, its checks."""
    names = Names(run.results).of
    cases: list[dict[str, Any]] = report.data.setdefault("cases", [])
    plot = f"{options.markdown.stem if options.markdown else 'comparison'}-{len(cases) + 1}.svg"
    report.paragraphs += [f"## {run.case.title}", f"![{run.case.title}]({plot})"]
    report.add_table(
        f"Closed loop, {options.clients} clients. *of ours*: CPU time of the row by that of the "
        "first row, with its 95 % bootstrap interval, which of few rounds is nearly lowest to "
        "highest; below 1, the row costs less. "
        f"{'The peak is that after photos of 12 megapixels. ' if run.case.whole else ''}*above no "
        "model*: the peak less the resident memory of the same process without a model. Accuracy: "
        f"{_say_accuracy(run)}",
        _SHORT_HEAD,
        make_rows(run, no_model),
    )
    if run.case.whole:
        _add_latencies(report, run, names)
        _add_rates(report, run, names, options)
        _add_phone(report, run, names)
        _add_checks(report, run, names)
    report.unfit += run.unfit
    cases.append(
        {
            "title": run.case.title,
            "plot": plot,
            "sides": [
                describe_result(run.results, index, name, no_model)
                for index, name in enumerate(names)
            ],
        }
    )


def _say_accuracy(run: CaseRun) -> str:
    if any(result.accuracy for result in run.results):
        return (
            "top-1 / top-5, measured through HTTP on the same files; else each manifest's record."
        )
    return (
        "each manifest's own record, on test images of its own, so that they do not compare; give "
        "DATA=DIR to measure both on the same files."
    )


def _add_latencies(report: Report, run: CaseRun, names: Sequence[str]) -> None:
    rows = []
    for name, result in zip(names, run.results, strict=True):
        shown = [format_ms(value) for value in find_percentiles(result.open, SHARES)]
        sent = sum(len(turn.outcomes) for turn in result.open)
        answered = sum(turn.answered for turn in result.open)
        cpu = measure_spread(turn.cpu_ms for turn in result.open).format()
        rows.append([name, str(sent), str(sent - answered), *shown, cpu])
    report.add_table(
        f"Open loop: a Poisson process of {run.results[0].open_rate:.1f} requests a second, half "
        "of what the slowest can answer; latencies in ms from the time a request was due.",
        [
            "network",
            "requests",
            "not answered 200",
            "p50",
            "p95",
            "p99",
            "p99.9",
            "CPU ms an image",
        ],
        rows,
    )


def _add_rates(
    report: Report, run: CaseRun, names: Sequence[str], options: argparse.Namespace
) -> None:
    rows = []
    for name, result in zip(names, run.results, strict=True):
        search = result.search
        assert search is not None
        best = search.best
        held = f"{best.rate:.1f}" if best else f"none of {len(search.steps)} tried"
        tried = ", ".join(
            f"{step.rate:.1f}{'' if step.holds else ' missed'} (p99 {format_ms(step.p99_ms)})"
            for step in sorted(search.steps, key=lambda step: step.rate)
        )
        share = f"{best.rate / search.closed_rate:.0%}" if best else ""
        rows.append([name, held, share, tried])
    report.add_table(
        "Throughput at the target: the highest rate tried at which 99 % of all requests of an open "
        f"loop were answered within {options.slo_ms:g} ms; each rate once, for "
        f"{options.step_seconds:g} s.",
        ["network", "images/s", "of the closed loop", "tried (ms)"],
        rows,
    )


def _add_phone(report: Report, run: CaseRun, names: Sequence[str]) -> None:
    rows = [
        [
            name,
            measure_spread(turn.cpu_ms for turn in result.phone).format(1),
            measure_spread(turn.rate for turn in result.phone).format(1),
        ]
        for name, result in zip(names, run.results, strict=True)
    ]
    report.add_table(
        "12-megapixel photos, two clients, closed loop, without a warm-up.",
        ["network", "CPU ms an image", "images/s"],
        rows,
    )


def _add_checks(report: Report, run: CaseRun, names: Sequence[str]) -> None:
    rows = []
    for name, result in zip(names, run.results, strict=True):
        if (own := result.metrics) is None:
            continue
        low, high = (1000 * bound for bound in own.durations.find_bucket(0.99))
        rows.append(
            [
                *(name, f"{len(own.turn.outcomes)} / {own.durations.count:.0f}"),
                f"{own.turn.cpu:.2f} / {own.cpu_seconds:.2f}",
                f"{own.client_mean_ms:.2f} / {own.service_mean_ms:.2f}",
                f"{format_ms(own.client.p99_ms)} / {low:g} to {high:g}",
            ]
        )
        report.checks += judge_metrics(name, own)
    report.add_table(
        "Cross-check: this generator / the service's own metrics, over one closed loop.",
        ["network", "requests", "CPU s", "mean ms", "p99 ms"],
        rows,
    )
    found = run.results[0].generator
    if found is None:
        report.paragraphs.append(f"Not cross-checked with another load generator: {ABSENT}.")
        return
    ours = found.own_latencies
    report.add_table(
        f"Cross-check: another load generator on {names[0]}, one photo.",
        ["", "images/s", "p50 ms", "p99 ms"],
        [
            ["this one", f"{found.own_rate:.1f}", format_ms(ours.p50_ms), format_ms(ours.p99_ms)],
            [
                *("wrk", f"{found.wrk.rate:.1f}"),
                *(format_ms(found.wrk.p50_ms), format_ms(found.wrk.p99_ms)),
            ],
        ],
    )
    report.checks += judge_generator(names[0], found)


def describe_result(
    results: Sequence[Result], index: int, name: str, no_model: dict[str, float]
) -> dict[str, Any]:
    """Everything of a side, for programs and plots."""
    result = results[index]
    assert result.peak is not None
    described: dict[str, Any] = {
        "name": name,
        "engine": result.facts.engine,
        "pixels": result.facts.pixels,
        "trained": result.facts.trained,
        "model_bytes": result.facts.model_bytes,
        "accuracy_record": result.facts.record,
        "cpu_ms": to_json(measure_spread(turn.cpu_ms for turn in result.closed)),
        "cpu_of_first": to_json(compare_cpu(results, index)),
        "images_per_s": to_json(measure_spread(turn.rate for turn in result.closed)),
        "rounds": {
            "cpu_ms": [round(turn.cpu_ms, 4) for turn in result.closed],
            "images_per_s": [round(turn.rate, 2) for turn in result.closed],
        },
        "start_s": to_json(measure_spread(result.starts)),
        "start_cpu_s": to_json(measure_spread(result.start_cpu)),
        "idle_rss_bytes": find_median(usage.rss_bytes for usage in result.idle),
        "peak_rss_bytes": result.peak.peak_bytes,
        "no_model_rss_bytes": no_model.get(result.facts.engine.partition("/")[0]),
    }
    if result.accuracy is not None:
        described["accuracy"] = vars(result.accuracy)
    if result.open:
        percents = [i / 1000 for i in range(1, 1000)]
        described["open_loop"] = {
            "rate": result.open_rate,
            "ms": dict(
                zip(
                    map(str, percents),
                    (round(v, 3) for v in find_percentiles(result.open, percents)),
                    strict=True,
                )
            ),
            "cpu_ms": to_json(measure_spread(turn.cpu_ms for turn in result.open)),
        }
    if result.search is not None:
        described["slo"] = [vars(step) | {"holds": step.holds} for step in result.search.steps]
    if result.phone:
        described["phone_cpu_ms"] = to_json(measure_spread(turn.cpu_ms for turn in result.phone))
    return described
