"""Thresholds of the Locust files: from options or a TOML file, and what they judge."""

import tomllib
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from loadtests.errors import WrongUsage
from loadtests.output.figures import measure_latencies
from loadtests.output.report import Check, check_at_least, check_at_most
from loadtests.users.tally import Tally

#: Of a ramp that is told no others.
RAMP_P99_MS, RAMP_REFUSED = 500.0, 1.0


@dataclass(frozen=True)
class Limits:
    """What is allowed; None judges nothing. Shares are percent."""

    max_p99_ms: float | None = None
    max_failures: float | None = 0.0  # percent of the requests
    max_refused: float | None = None  # percent of the requests
    min_rate: float | None = None  # answers with status 200 a second; of a ramp: the knee
    late_ms: float = 20.0  # a request that is sent later than this is late
    max_late: float = 5.0  # percent of the requests
    max_generator_cpu: float = 70.0  # percent of one CPU


HELP = {
    "max_p99_ms": "milliseconds of the 99th percentile of accepted requests",
    "max_failures": "percent of requests that may fail (0)",
    "max_refused": "percent of requests that may be refused: 429 or 503 with Retry-After (any)",
    "min_rate": "answers with status 200 a second at least; of a ramp: requests a second, or users",
    "late_ms": "open loop: a request that is sent later than this after it was due is late (20)",
    "max_late": "percent of late requests above which the generator was the limit (5)",
    "max_generator_cpu": "percent of a CPU above which the generator was the limit (70)",
}


def read_limits(path: Path) -> dict[str, float]:
    """The limits of a TOML file. Raises WrongUsage."""
    names = [item.name for item in fields(Limits)]
    try:
        found = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise WrongUsage(f"expected thresholds in TOML at {path}, found: {fault}") from None
    for name, value in found.items():
        if name not in names:
            raise WrongUsage(f"expected one of {', '.join(names)} in {path}, found {name!r}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise WrongUsage(f"expected a number from 0 on for {name} in {path}, found {value!r}")
    return {name: float(value) for name, value in found.items()}


def choose_limits(options: Namespace) -> Limits:
    """Those of the file, and those of the command line, which win. Raises WrongUsage."""
    chosen: dict[str, float] = read_limits(Path(options.thresholds)) if options.thresholds else {}
    for item in fields(Limits):
        value = getattr(options, item.name)
        if value is not None:
            chosen[item.name] = value
    return replace(Limits(), **chosen)


def limit_ramp(limits: Limits) -> Limits:
    """With what breaks a ramp where nothing was said."""
    return replace(
        limits,
        max_p99_ms=RAMP_P99_MS if limits.max_p99_ms is None else limits.max_p99_ms,
        max_refused=RAMP_REFUSED if limits.max_refused is None else limits.max_refused,
    )


def judge_answers(limits: Limits, tally: Tally) -> list[Check]:
    """Latency, failures and refusals. None accepted at all is a miss, of the p99 too."""
    checks = [check_at_least("accepted requests", tally.accepted, 1)]
    if limits.max_p99_ms is not None:
        p99 = measure_latencies(tally.latency).p99_ms
        check = check_at_most("99th percentile", p99, limits.max_p99_ms, " ms")
        checks.append(check if tally.accepted else replace(check, found="none", held=False))
    if limits.max_failures is not None:
        failed = tally.share(tally.failed)
        checks.append(check_at_most("failed requests", failed, limits.max_failures, " %"))
    hanging = tally.count_hanging(limits.max_p99_ms)
    if hanging:
        checks.append(check_at_most("requests still waiting at the end", hanging, 0))
    if limits.max_refused is not None:
        refused = tally.share(tally.refused)
        checks.append(check_at_most("refused requests", refused, limits.max_refused, " %"))
    return checks


def judge_generator(limits: Limits, tally: Tally) -> list[str]:
    """Why the generator was the limit; empty if it was not."""
    reasons = [
        f"{count} requests could not be sent: {fault}; raise the limit (ulimit -n), or ask for less"
        for fault, count in tally.unsent.items()
    ]
    late = tally.count_late(limits.late_ms / 1000)
    if late > limits.max_late:
        reasons.append(
            f"{late:.1f} % of the requests were sent more than {limits.late_ms:g} ms late, "
            f"{limits.max_late:g} % are allowed; give the generator a CPU of its own"
        )
    if 100 * tally.cpu_share > limits.max_generator_cpu:
        reasons.append(
            f"the generator used {tally.cpu_share:.0%} of a CPU, {limits.max_generator_cpu:g} % "
            "are allowed; ask for less, or take more processes (--processes, closed loop only)"
        )
    return reasons


def describe_limits(limits: Limits) -> Mapping[str, Any]:
    """For the record."""
    return asdict(limits)
