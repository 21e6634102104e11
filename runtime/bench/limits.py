"""The instruction limits of the active implementation, sampled all through a run.

A limit is the rate of a loop over registers alone. Shares of it mean something only if both were
measured at the same clock, so every report takes short samples among its runs and uses those.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from runtime.kernels import library, measuring
from runtime.kernels.measuring import BINARY_MAC, FLOAT_MAC, FULL_ADDER, INT8_MAC

SAMPLE_NS = 5e5  # of one sample of one loop
MIN_NS = 1e5  # from which a trial is long enough to tell the rate
PER_NS = 1e9  # operations per nanosecond are G operations per second


class LimitMeter:
    """Samples the loops of the implementation that is active when it is made."""

    def __init__(self) -> None:
        self.implementation = library.active()
        self._limits = measuring.limits()
        self._rounds = [_choose_rounds(index) for index in range(len(self._limits))]
        self._rates: list[list[float]] = [[] for _ in self._limits]  # operations per ns

    @property
    def has_samples(self) -> bool:
        """Whether sample() was called."""
        return bool(self._rates[0])

    def sample(self) -> None:
        """Runs each loop once, for half a millisecond."""
        for index, limit in enumerate(self._limits):
            (nanoseconds,) = measuring.measure_limit(index, self._rounds[index])
            self._rates[index].append(limit.operations * self._rounds[index] / float(nanoseconds))

    def best(self, operation: str, last: int) -> float:
        """Operations per second of the fastest loop for this operation: median of `last` samples.

        Raises ValueError where no loop of the implementation computes it, or before a sample.
        """
        rates = [
            float(np.median(rates[-last:]))
            for limit, rates in zip(self._limits, self._rates, strict=True)
            if limit.operation == operation and rates
        ]
        if not rates:
            raise ValueError(f"expected a sample of a loop for {operation!r}, found none")
        return PER_NS * max(rates)

    def describe(self) -> list[dict[str, Any]]:
        """One entry a loop: "name", "operation", "median_g", "p10_g", "p90_g" (10^9 per second)."""
        entries = []
        for limit, rates in zip(self._limits, self._rates, strict=True):
            low, median, high = np.percentile(rates, [10, 50, 90])
            entries.append(
                {
                    "name": limit.name,
                    "operation": limit.operation,
                    "median_g": float(median),
                    "p10_g": float(low),
                    "p90_g": float(high),
                    "samples": len(rates),
                }
            )
        return entries


def _choose_rounds(index: int) -> int:
    rounds = 64
    while (nanoseconds := float(measuring.measure_limit(index, rounds)[0])) < MIN_NS:
        rounds *= 4
    return max(1, round(rounds * SAMPLE_NS / nanoseconds))


# What a table with shares says of them.
SHARES = (
    "  of limit: of the fastest loop over registers, exclusive-or and popcount or multiply-adds. "
    "Bit-sliced\n  kernels need fewer instructions and may pass it; theirs is the loop of full "
    "adders."
)
_UNITS = {
    **{operation: f"G {operation}/s" for operation in (BINARY_MAC, FLOAT_MAC, INT8_MAC)},
    FULL_ADDER: "G bits added/s",
}


def format_limits(implementation: str, limits: Iterable[dict[str, Any]]) -> str:
    """The table of all loops."""
    lines = [
        f"instruction limits of {implementation}: loops over registers, one thread, sampled all "
        "through the run",
        f"  {'instructions':<50}{'median':>9}{'p10':>8}{'p90':>8}",
    ]
    lines.extend(
        f"  {entry['name']:<50}{entry['median_g']:>9.1f}{entry['p10_g']:>8.1f}"
        f"{entry['p90_g']:>8.1f}  {_UNITS[entry['operation']]}"
        for entry in limits
    )
    return "\n".join(lines)
