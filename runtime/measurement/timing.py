"""Times functions in turns, and keeps median and spread of the samples."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from runtime.errors import RuntimeFault

RUNS_PER_TURN = 3  # timed, after one that is not
LONG = 0.2  # seconds of a run, from which one a turn is enough

Progress = Callable[[str], None]
Summary = dict[str, float | int]
# Runs once untimed, then `runs` times: seconds of each. Raises RuntimeFault if that failed.
Timer = Callable[[int], list[float]]


def summarize(seconds: Sequence[float] | np.ndarray[Any, Any]) -> Summary:
    """Median and spread in milliseconds: 80 % of the runs lie between p10 and p90."""
    milliseconds = 1000 * np.asarray(seconds)
    low, median, high = np.percentile(milliseconds, [10, 50, 90])
    return {
        "median_ms": float(median),
        "p10_ms": float(low),
        "p90_ms": float(high),
        "fastest_ms": float(milliseconds.min()),
        "runs": len(milliseconds),
    }


def time_calls(call: Callable[[], object]) -> Timer:
    """A timer of a function of this process."""

    def run(runs: int) -> list[float]:
        call()  # it finds its own weights in the cache then
        seconds = []
        for _ in range(runs):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        return seconds

    return run


def take_turns(
    timers: Mapping[str, Timer], runs: int, progress: Progress
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Times all in turns, so that a change of clock or load meets all of them.

    Returns the seconds of those that ran to the end, at least `runs` unless a run is LONG, and the
    reason for each that failed on the way.
    """
    seconds: dict[str, list[float]] = {name: [] for name in timers}
    failures: dict[str, str] = {}
    turns = -(-runs // RUNS_PER_TURN)
    for turn in range(turns):
        for name, timer in timers.items():
            if name in failures:
                continue
            progress(f"turn {turn + 1} of {turns}: {name}")
            is_long = bool(seconds[name]) and seconds[name][0] > LONG
            try:
                seconds[name] += timer(1 if is_long else RUNS_PER_TURN)
            except RuntimeFault as error:
                failures[name] = str(error)
    return {name: values for name, values in seconds.items() if name not in failures}, failures
