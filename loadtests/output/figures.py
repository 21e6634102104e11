"""Statistics of measured values: percentiles by nearest rank, medians with their spread."""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass


def pick(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of sorted values: `share` of them are not above it."""
    if not ordered:
        raise ValueError("expected at least one value, found none")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def find_median(values: Iterable[float]) -> float:
    """The middle value, or the mean of the two in the middle."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("expected at least one value, found none")
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


@dataclass(frozen=True)
class Spread:
    """The median of repeated measurements, and the lowest and highest of them."""

    median: float
    low: float
    high: float
    count: int

    def format(self, digits: int = 2) -> str:
        """`median [low, high]`."""
        return f"{self.median:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def measure_spread(values: Iterable[float]) -> Spread:
    """Of at least one value."""
    ordered = sorted(values)
    return Spread(find_median(ordered), ordered[0], ordered[-1], len(ordered))


@dataclass(frozen=True)
class Latencies:
    """Percentiles of durations, in milliseconds; all 0 where there is none."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float

    def cells(self) -> list[str]:
        """As a table has it: count, p50, p90, p99, max."""
        if not self.count:
            return ["0", "", "", "", ""]
        shown = (self.p50_ms, self.p90_ms, self.p99_ms, self.max_ms)
        return [str(self.count), *(format_ms(value) for value in shown)]


LATENCY_HEAD = ["count", "p50 ms", "p90 ms", "p99 ms", "max ms"]


def measure_latencies(seconds: Iterable[float]) -> Latencies:
    """Percentiles of durations that are given in seconds."""
    ordered = sorted(value * 1000 for value in seconds)
    if not ordered:
        return Latencies(0, 0.0, 0.0, 0.0, 0.0)
    p50, p90, p99 = (pick(ordered, share) for share in (0.5, 0.9, 0.99))
    return Latencies(len(ordered), p50, p90, p99, ordered[-1])


def format_ms(value: float) -> str:
    """Three digits that count, more for large values."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def divide_pairwise(above: Sequence[float], below: Sequence[float]) -> Spread:
    """The spread of above[i] / below[i]: what was measured in the same turn belongs together."""
    if len(above) != len(below):
        raise ValueError(f"expected as many values, found {len(above)} and {len(below)}")
    return measure_spread(a / b for a, b in zip(above, below, strict=True))


@dataclass(frozen=True)
class Ratio:
    """A ratio of two medians and its 95 % bootstrap interval over the rounds."""

    value: float
    low: float
    high: float

    def format(self, digits: int = 2) -> str:
        """`0.68 (0.66 to 0.70)`."""
        return f"{self.value:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def bootstrap_ratio(
    above: Sequence[float], below: Sequence[float], seed: int = 1, samples: int = 2000
) -> Ratio:
    """median(above) / median(below); above[i] and below[i] are of one round and stay together.

    The interval is the middle 95 % of the ratios that rounds drawn with replacement give (Efron's
    percentile bootstrap). Raises ValueError for lists that are empty or not of one length.
    """
    if len(above) != len(below):
        raise ValueError(f"expected as many values, found {len(above)} and {len(below)}")
    chance, rounds = random.Random(seed), range(len(above))
    ratios = []
    for _ in range(samples):
        drawn = chance.choices(rounds, k=len(rounds)) if rounds else []
        ratios.append(find_median(above[i] for i in drawn) / find_median(below[i] for i in drawn))
    ratios.sort()
    value = find_median(above) / find_median(below)
    return Ratio(value, pick(ratios, 0.025), pick(ratios, 0.975))


def to_json(value: "Spread | Latencies | Ratio") -> Mapping[str, float]:
    """Its fields, rounded to what a measurement can mean."""
    return {name: round(number, 4) for name, number in asdict(value).items()}
