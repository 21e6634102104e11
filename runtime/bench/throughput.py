"""The native engine at several batches and threads, and two calls at once, in turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from runtime.bundle import Bundle
from runtime.engines.engine import Engine, load_engine
from runtime.errors import RuntimeFault
from runtime.measurement.inputs import make_images
from runtime.measurement.machine import pinned
from runtime.measurement.timing import Progress, Timer, summarize, take_turns, time_calls

# (calls at once, threads of each, images of each)
SETTINGS = ((1, 1, 1), (1, 1, 8), (1, 2, 1), (1, 2, 8), (2, 1, 8))


def measure_throughput(
    bundle: Bundle, runs: int, cpus: Sequence[int], progress: Progress
) -> dict[str, Any]:
    """Times of each of SETTINGS; "speed": of its images, as a ratio to the first.

    cpus: to use, see machine.pinned. Raises RuntimeFault if a setting that could be prepared fails.
    """
    timers: dict[str, Timer] = {}
    settings: dict[str, dict[str, int]] = {}
    missing: dict[str, str] = {}
    for calls, threads, batch in SETTINGS:
        name = _name(calls, threads, batch)
        try:
            with pinned(calls * threads, cpus):
                engines = [load_engine(bundle, "native", threads) for _ in range(calls)]
        except RuntimeFault as error:
            missing[name] = str(error)
            continue
        timers[name] = _pinned_timer(engines, bundle, batch, calls * threads, cpus)
        settings[name] = {"calls": calls, "threads": threads, "batch": batch}
    seconds, failures = take_turns(timers, runs, progress)
    if failures:
        raise RuntimeFault("; ".join(failures.values()))
    rows: list[dict[str, Any]] = []
    for name, values in seconds.items():
        times = summarize(values)
        images = settings[name]["calls"] * settings[name]["batch"]
        image_ms = times["median_ms"] / images
        speed = rows[0]["image_ms"] / image_ms if rows else 1.0
        rows.append({"name": name, **settings[name], **times, "image_ms": image_ms, "speed": speed})
    return {"rows": rows, "not_measured": missing}


def format_throughput(result: Mapping[str, Any]) -> list[str]:
    """The lines of the table."""
    lines = [
        f"  {'native engine':<34}{'ms a call':>10}{'p10':>8}{'p90':>8}{'ms an image':>13}{'x':>7}"
    ]
    lines += [
        f"  {row['name']:<34}{row['median_ms']:>10.2f}{row['p10_ms']:>8.2f}{row['p90_ms']:>8.2f}"
        f"{row['image_ms']:>13.2f}{row['speed']:>7.2f}"
        for row in result["rows"]
    ]
    return lines + [
        f"  {name} not measured: {reason}" for name, reason in result["not_measured"].items()
    ]


def _name(calls: int, threads: int, batch: int) -> str:
    name = f"threads {threads}, batch {batch}"
    return name if calls == 1 else f"{calls} calls at once, {name}"


def _pinned_timer(
    engines: Sequence[Engine], bundle: Bundle, batch: int, count: int, cpus: Sequence[int]
) -> Timer:
    """Threads that the engines start in their first call inherit the CPUs."""
    images = make_images(bundle, batch)
    if len(engines) == 1:
        timer = time_calls(partial(engines[0].predict, images))
    else:
        callers = ThreadPoolExecutor(len(engines))  # its threads start in the untimed call

        def call_all() -> None:
            for done in [callers.submit(engine.predict, images) for engine in engines]:
                done.result()

        timer = time_calls(call_all)

    def run(runs: int) -> list[float]:
        with pinned(count, cpus):
            return timer(runs)

    return run
