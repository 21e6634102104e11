"""The report of two services under the same load: figures of both, their ratio, thresholds."""

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from loadtests.output.figures import (
    Spread,
    divide_pairwise,
    measure_latencies,
    measure_spread,
    to_json,
)
from loadtests.output.report import Report, check_at_least, check_at_most
from loadtests.users.services import describe_service
from loadtests.users.tally import Tally, add_up
from loadtests.users.turns import Turn

SIDES = ("first", "second")
Measure = Callable[[Turn], float | None]
#: Name, unit, digits, what a turn has of it, the option that judges the ratio.
MEASURES: Sequence[tuple[str, str, int, Measure, str]] = (
    ("CPU an image", "ms", 2, lambda turn: _scale(turn.cpu_per_image, 1000), "max_cpu_ratio"),
    (
        "resident memory",
        "MB",
        1,
        lambda turn: _scale(turn.after.resident_bytes, 1e-6),
        "max_memory_ratio",
    ),
    ("images a second", "1/s", 2, lambda turn: turn.rate or None, "min_rate_ratio"),
    ("latency, median", "ms", 2, lambda turn: _pick(turn, "p50_ms"), "max_p50_ratio"),
    ("latency, p90", "ms", 2, lambda turn: _pick(turn, "p90_ms"), ""),
    ("latency, p99", "ms", 2, lambda turn: _pick(turn, "p99_ms"), "max_p99_ratio"),
)


def _scale(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _pick(turn: Turn, name: str) -> float | None:
    return float(getattr(measure_latencies(turn.latencies), name)) if turn.latencies else None


def measure_sides(turns: Sequence[Turn], measure: Measure) -> list[list[float]] | None:
    """Values of the first and of the second service, round by round; None if one is missing."""
    sides: list[list[float]] = [[], []]
    for turn in turns:
        value = measure(turn)
        if value is None:
            return None
        sides[turn.side].append(value)
    count = min(map(len, sides))  # of a test that was stopped in the middle of a round
    return [values[:count] for values in sides] if count else None


def build_report(
    turns: Sequence[Turn],
    infos: Sequence[Mapping[str, Any]],
    addresses: Sequence[str],
    options: Namespace,
    settings: Mapping[str, Any],
    planned: int,
) -> Report:
    """Everything that was found; thresholds judge medians of first / second."""
    report = Report("Two services under the same images", settings)
    described = [describe_service(info) for info in infos]
    report.add_table(
        "What they serve. The same images are not the same work where image size or accuracy "
        "differ.",
        ["", *SIDES],
        [
            ["address", *addresses],
            *([name, *(side[name] for side in described)] for name in described[0]),
        ],
    )
    if described[0]["model"] == described[1]["model"] != "unknown":
        report.paragraphs.append("**Both serve the same bundle.**")
    report.checks.append(check_at_least("turns", len(turns), planned))
    tallies = [add_up(turn.tally for turn in turns if turn.side == side) for side in (0, 1)]
    _add_ratios(report, turns, options)
    report.paragraphs += [
        f"The {side}: {_count(tally)}" for side, tally in zip(SIDES, tallies, strict=True)
    ]
    report.data |= {
        "services": [
            {"address": address, **side, "requests": tally.as_json()}
            for address, side, tally in zip(addresses, described, tallies, strict=True)
        ],
        "order": [SIDES[turn.side] for turn in turns],
    }
    for side, tally in zip(SIDES, tallies, strict=True):
        report.checks.append(check_at_least(f"answers of the {side}", tally.accepted, 1))
        failed = tally.share(tally.failed)
        name = f"failed requests of the {side}"
        report.checks.append(check_at_most(name, failed, options.max_failures, " %"))
    if all(tally.accepted for tally in tallies):
        report.unfit = _judge_generator(add_up(tallies), options.max_generator_cpu)
    return report


def _add_ratios(report: Report, turns: Sequence[Turn], options: Namespace) -> None:
    rows, found = [], {}
    for name, unit, digits, measure, option in MEASURES:
        limit = getattr(options, option) if option else None
        values = measure_sides(turns, measure)
        if values is None:
            rows.append([f"{name}, {unit}", "not told", "not told", ""])
            if limit is not None:  # what was asked for and can't be judged has not held
                report.checks.append(check_at_least(f"turns with {name}", 0, 1))
            continue
        spreads = [measure_spread(side) for side in values]
        ratio = divide_pairwise(*values)
        rows.append([f"{name}, {unit}", *(s.format(digits) for s in spreads), ratio.format(3)])
        found[name] = _as_json(spreads, ratio, unit)
        if limit is not None:
            check = check_at_least if option.startswith("min") else check_at_most
            report.checks.append(check(f"{name}, first / second", ratio.median, limit))
    report.add_table(
        "Median [lowest, highest] of the turns; the ratio is that of each round's two turns:",
        ["", *SIDES, "first / second"],
        rows,
    )
    report.data["measures"] = found


def _as_json(spreads: Sequence[Spread], ratio: Spread, unit: str) -> dict[str, Any]:
    sides = {name: dict(to_json(spread)) for name, spread in zip(SIDES, spreads, strict=True)}
    return {"unit": unit, **sides, "ratio": dict(to_json(ratio))}


def _count(tally: Tally) -> str:
    parts = [f"{tally.accepted} accepted"]
    parts += [f"{count} refused ({name})" for name, count in tally.refused.items()]
    parts += [f"{count} failed ({name})" for name, count in tally.failed.items()]
    return "; ".join(parts) + "."


def _judge_generator(total: Tally, max_cpu: float) -> list[str]:
    reasons = [f"{count} requests could not be sent: {why}" for why, count in total.unsent.items()]
    if 100 * total.cpu_share > max_cpu:
        reasons.append(
            f"the generator used {total.cpu_share:.0%} of a CPU, {max_cpu:g} % are allowed; "
            "take larger images (--sizes), or fewer users (-u)"
        )
    return reasons
