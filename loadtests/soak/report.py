"""Tables and thresholds of `loadtests.soak`: what grew after the first tenth of the requests."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loadtests.output.figures import find_median
from loadtests.output.report import Check, Report, check_at_most
from loadtests.servers.processes import format_bytes
from loadtests.servers.server import ServerSpec
from loadtests.soak.run import Point, SoakRun

PARTS = 10
_SPARE = 3  # descriptors and threads: so few are no growth


@dataclass(frozen=True)
class Growth:
    """A quantity over the run: its median in each tenth of the requests."""

    medians: list[float]

    @property
    def base(self) -> float:
        """Of the second tenth: the first one is the warm-up."""
        return self.medians[1]

    @property
    def max_median(self) -> float:
        """Of the tenths after it."""
        return max(self.medians[2:])

    @property
    def share(self) -> float:
        """By how much it grew, as a share; negative if it fell."""
        return self.max_median / self.base - 1 if self.base else 0.0


def measure_growth(points: Sequence[Point], values: Sequence[float]) -> Growth | None:
    """The growth of values that belong to these points; None if a tenth has no point."""
    total = max((done for done, _, _ in points), default=0)
    parts: list[list[float]] = [[] for _ in range(PARTS)]
    for (done, _, _), value in zip(points, values, strict=True):
        parts[min(done * PARTS // max(total, 1), PARTS - 1)].append(value)
    return Growth([find_median(part) for part in parts]) if all(parts) else None


def add_results(report: Report, spec: ServerSpec, run: SoakRun, max_growth: float) -> None:
    """Adds what was seen, and judges it."""
    seconds = run.points[-1][1] if run.points else 0.0
    report.paragraphs.append(
        f"`{spec.name}`, environment {dict(spec.environment)}. {run.done} requests in "
        f"{seconds:.0f} s."
    )
    _add_answers(report, run)
    growths = {
        "RSS, MiB": measure_growth(run.points, [u.rss_bytes / 2**20 for *_, u in run.points]),
        "descriptors": measure_growth(run.points, [u.descriptors for *_, u in run.points]),
        "threads": measure_growth(run.points, [u.threads for *_, u in run.points]),
    }
    _add_usage(report, run, growths)
    _judge(report, run, growths, max_growth)
    report.data = {
        "requests": run.done,
        "seconds": round(seconds, 1),
        "answers": {kind: dict(labels) for kind, labels in run.labels.items()},
        "wrong": dict(run.wrong),
        "growth": {name: _to_json(growth) for name, growth in growths.items()},
        "before": asdict(run.before),
        "after": asdict(run.after),
        "points": [[done, round(at, 2), asdict(usage)] for done, at, usage in run.points],
    }


def _add_answers(report: Report, run: SoakRun) -> None:
    rows = [
        [kind, str(labels.total()), ", ".join(f"{label}: {n}" for label, n in labels.most_common())]
        for kind, labels in sorted(run.labels.items())
    ]
    report.add_table("Requests by kind:", ["kind", "count", "outcomes"], rows)
    if run.wrong:
        rows = [[what, str(count)] for what, count in run.wrong.most_common()]
        report.add_table("Not as it should be:", ["kind: found", "count"], rows)


def _add_usage(report: Report, run: SoakRun, growths: dict[str, Growth | None]) -> None:
    rows = []
    for name, growth in growths.items():
        cells = (
            [f"{value:.1f}" for value in growth.medians] if growth else ["" for _ in range(PARTS)]
        )
        rows.append([name, *cells])
    head = ["median in tenth", *(str(number + 1) for number in range(PARTS))]
    report.add_table("Over the run, by tenths of the requests:", head, rows)
    before, after = run.before, run.after
    report.paragraphs.append(
        f"Idle before and after: RSS {format_bytes(before.rss_bytes)} and "
        f"{format_bytes(after.rss_bytes)} MiB, descriptors {before.descriptors} and "
        f"{after.descriptors}, threads {before.threads} and {after.threads}; largest RSS "
        f"{format_bytes(after.peak_bytes)} MiB."
    )


def _judge(
    report: Report, run: SoakRun, growths: dict[str, Growth | None], max_growth: float
) -> None:
    report.checks.append(Check("the service lives", str(run.alive), "True", run.alive))
    report.checks.append(Check("/readyz afterwards", str(run.ready_after), "True", run.ready_after))
    report.checks.append(check_at_most("wrong answers", run.wrong.total(), 0))
    for name, growth in growths.items():
        if growth is None:
            report.unfit.append(f"{name}: too few samples for tenths; send more requests")
            continue
        spare = 0 if "RSS" in name else _SPARE
        limit = growth.base * (1 + max_growth) + spare
        report.checks.append(
            Check(
                f"{name}: highest tenth after the second",
                f"{growth.max_median:.1f} ({growth.share:+.1%})",
                f"<= {limit:.1f}",
                growth.max_median <= limit,
            )
        )
    left = run.after.descriptors - run.before.descriptors
    report.checks.append(check_at_most("descriptors left open", left, _SPARE))


def _to_json(growth: Growth | None) -> dict[str, Any] | None:
    if growth is None:
        return None
    return {
        "medians": [round(value, 3) for value in growth.medians],
        "share": round(growth.share, 4),
    }
