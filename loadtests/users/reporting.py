"""The report of the Locust file: latencies by stage, what was refused, thresholds, the knee."""

from collections.abc import Mapping

from loadtests.command_line.options import describe_options
from loadtests.output.figures import LATENCY_HEAD, measure_latencies
from loadtests.output.report import Check, Report, check_at_least
from loadtests.users.session import Session
from loadtests.users.stages import Ramp
from loadtests.users.tally import Tally
from loadtests.users.thresholds import (
    Limits,
    describe_limits,
    judge_answers,
    judge_generator,
)

#: Of Locust's many options, those that say what was done.
_RECORDED = (
    *("host", "num_users", "run_time", "loop", "rate", "arrivals", "arrival_seed", "shape"),
    *("ramp_factor", "stage_seconds", "sizes", "photos", "image_seed", "image_count", "send"),
)


def build_report(session: Session) -> Report:
    """Everything that was found; its exit status is the one of the test."""
    options, total = session.options, session.add_up()
    chosen = {name: getattr(options, name, None) for name in _RECORDED}
    report = Report(
        f"Load test, {options.loop} loop, {options.shape}",
        {
            **{name: v for name, v in describe_options(options).items() if name in chosen},
            "thresholds": dict(describe_limits(session.limits)),
        },
    )
    _add_latencies(report, session, total)
    if session.stages:
        _add_stages(report, session)
    report.paragraphs.append(_describe_rest(total, session.limits, session.is_open))
    report.data = {
        "total": {**total.as_json(), "rate": round(measure_rate(session, total), 3)},
        "stages": [
            {"name": stage.name, "level": stage.level, "seconds": stage.seconds, **tally.as_json()}
            for stage, tally in session.stages
        ],
    }
    if not total.total:
        # Of a test without an answer nothing else can be said, of the generator neither.
        report.checks = [check_at_least("answers", 0, 1)]
        return report
    report.unfit = judge_generator(session.limits, total)
    if session.ramp is not None:
        _add_knee(report, session, session.ramp)
    else:
        report.checks = judge_answers(session.limits, total)
        if session.limits.min_rate is not None:
            rate = measure_rate(session, total)
            report.checks.append(check_at_least("rate", rate, session.limits.min_rate, "/s"))
    if total.accepted == 0 and total.failed.total() == total.total:
        report.unfit = []  # that nothing works is the service's fault, whatever the generator did
    return report


def measure_rate(session: Session, total: Tally) -> float:
    """Answers with status 200 a second, from the start to the last answer."""
    seconds = session.ended - session.began
    return total.accepted / seconds if seconds > 0 else 0.0


def _add_latencies(report: Report, session: Session, total: Tally) -> None:
    rows = [["latency", *measure_latencies(total.latency).cells()]]
    title = "Accepted requests (status 200), a latency counts from when a request was sent:"
    if session.is_open:
        rows[0][0] = "latency, from when it was due"
        rows.append(
            ["service latency, from when it was sent", *measure_latencies(total.service).cells()]
        )
        rows.append(["lag, sent later than due", *measure_latencies(total.lag).cells()])
        title = "Accepted requests (status 200), and the lag of all requests:"
    report.add_table(title, ["", *LATENCY_HEAD], rows)


def _add_stages(report: Report, session: Session) -> None:
    unit = "requests/s" if session.is_open else "users"
    report.add_table(
        "By stage, of the requests that were due in it:"
        if session.is_open
        else "By stage, of the requests that ended in it:",
        ["stage", unit, *LATENCY_HEAD, "refused", "failed"],
        [
            [
                *(stage.name, f"{stage.level:.4g}", *measure_latencies(tally.latency).cells()),
                *(str(tally.refused.total()), str(tally.failed.total())),
            ]
            for stage, tally in session.stages
        ],
    )


def _describe_rest(total: Tally, limits: Limits, is_open: bool) -> str:
    parts = [f"{total.accepted} accepted", *_count("refused", total.refused)]
    parts += _count("failed", total.failed)
    if total.cut:
        parts.append(
            f"{len(total.cut)} were on their way when the test was stopped: a failure where one "
            "had waited for longer than all others, and a second; else they count nowhere"
        )
    late = f" {total.count_late(limits.late_ms / 1000):.1f} % of the requests were sent late."
    cpu = f" The generator used {total.cpu_share:.0%} of a CPU."
    return "Requests: " + "; ".join(parts) + "." + (late if is_open else "") + cpu


def _count(word: str, counts: Mapping[str, int]) -> list[str]:
    return [f"{count} {word} ({name})" for name, count in counts.items()]


def _add_knee(report: Report, session: Session, ramp: Ramp) -> None:
    unit = "requests/s" if session.is_open else "users"
    report.paragraphs.append(ramp.describe(unit))
    report.data["knee"] = {"held": ramp.knee, "broken": ramp.broken, "reasons": ramp.reasons}
    limit = session.limits.min_rate
    wanted = "a stage that holds" if limit is None else f">= {limit:g}"
    report.checks = [
        Check("knee", f"{ramp.knee:.4g}", wanted, ramp.knee >= (limit or 0))
        if ramp.knee is not None
        else Check("knee", "none", wanted, False)
    ]
    # The total is mostly of stages that held: the last one says whose limit was found.
    report.unfit = report.unfit or judge_generator(session.limits, session.stages[-1][1])
