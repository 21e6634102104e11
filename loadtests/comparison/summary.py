"""The comparison as a few lines: the table that another document has between its marks."""

from collections.abc import Sequence

from loadtests.comparison.run import CaseRun
from loadtests.comparison.tables import Names, compare_cpu
from loadtests.comparison.turns import find_percentiles
from loadtests.output.figures import find_median, format_ms
from loadtests.output.report import Report, make_table
from loadtests.servers.processes import format_bytes

_HEAD = [
    *("network", "engine", "CPU ms an image", "of ours", "images/s", "p50 / p99 ms"),
    *("peak MiB", "model MiB", "top-1"),
]


def summarize(report: Report, runs: Sequence[CaseRun]) -> str:
    """One table for each case, and the machine."""
    features = ", ".join(report.machine["features"])
    parts = [
        f"{report.machine['cpu']} ({features}), one core for the service, one for the generator:"
    ]
    for run in runs:
        rows = []
        for index, (name, result) in enumerate(
            zip(Names(run.results).of, run.results, strict=True)
        ):
            assert result.peak is not None
            latencies = " / ".join(format_ms(v) for v in find_percentiles(result.open, (0.5, 0.99)))
            rows.append(
                [
                    *(name, f"`{result.facts.engine}`"),
                    f"{find_median(turn.cpu_ms for turn in result.closed):.2f}",
                    f"{compare_cpu(run.results, index).value:.2f}" if index else "1",
                    f"{find_median(turn.rate for turn in result.closed):.0f}",
                    latencies if result.open else "",
                    format_bytes(result.peak.peak_bytes),
                    f"{result.facts.model_bytes / 2**20:.2f}",
                    result.accuracy.format() if result.accuracy else result.facts.record,
                ]
            )
        parts += [f"{run.case.title}:", make_table(_HEAD, rows)]
    return "\n\n".join(parts)
