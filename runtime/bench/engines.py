"""Report on the engines of a bundle: latency in turns beside eager PyTorch, and peak memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtime.bench.contestants import (
    BASELINE,
    EAGER,
    load_contestants,
    measure_memory,
)
from runtime.bundle import Bundle
from runtime.errors import RuntimeFault
from runtime.measurement.inputs import make_images
from runtime.measurement.timing import Progress, summarize, take_turns, time_calls

MIB = 2**20


def measure_engines(
    bundle: Bundle,
    names: Sequence[str],
    *,
    threads: int,
    batch: int,
    runs: int,
    memory: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Everything about the engines of one bundle, as written to JSON. Raises RuntimeFault."""
    contestants, missing = load_contestants(bundle, names, threads)
    images = make_images(bundle, batch)
    timers = {c.name: time_calls(lambda c=c: c.predict(images)) for c in contestants}  # type: ignore[misc]
    seconds, failures = take_turns(timers, runs, progress)
    if failures:
        raise RuntimeFault("; ".join(f"{name}: {why}" for name, why in failures.items()))
    latencies = {name: summarize(values) for name, values in seconds.items()}
    logits = {contestant.name: contestant.predict(images) for contestant in contestants}
    rows: list[dict[str, Any]] = []
    for contestant in contestants:
        row: dict[str, Any] = {
            "name": contestant.name,
            "implementation": contestant.implementation,
            **latencies[contestant.name],
            "model_bytes": contestant.model_bytes,
            "workspace_bytes": contestant.workspace_bytes,
        }
        if EAGER in latencies:
            row["times_as_fast_as_eager"] = (
                latencies[EAGER]["median_ms"] / latencies[contestant.name]["median_ms"]
            )
            difference = np.abs(logits[contestant.name] - logits[EAGER]).max()
            row["max_abs_logit_difference"] = float(difference)
        rows.append(row)
    baseline = None
    if memory:
        for row in rows:
            progress(f"memory: {row['name']}")
            row["peak_memory_bytes"] = measure_memory(bundle, row["name"], threads, batch)
        baseline = measure_memory(bundle, BASELINE, 1, 1)
    return {
        "network": bundle.manifest.name,
        "trained": bundle.manifest.trained,
        "input": list(bundle.manifest.input),
        "threads": threads,
        "batch": batch,
        "engines": rows,
        "not_measured": missing,
        "baseline_memory_bytes": baseline,
    }


def format_engines(result: Mapping[str, Any]) -> str:
    """The table of one bundle."""
    shape = "x".join(map(str, result["input"]))
    state = "" if result["trained"] else ", untrained (random weights)"
    lines = [
        f"engines on {result['network']}{state}: input {shape}, batch {result['batch']}, "
        f"threads {result['threads']}",
        f"  {'engine':<20}{'median ms':>10}{'p10 ms':>9}{'p90 ms':>9}{'min ms':>9}    "
        f"{'vs eager':>10}{'peak MiB':>10}{'model MiB':>11}{'logit diff.':>13}",
    ]
    for row in result["engines"]:
        name = f"{row['name']}/{row['implementation']}"
        ratio = row.get("times_as_fast_as_eager")
        difference = row.get("max_abs_logit_difference")
        peak = row.get("peak_memory_bytes")
        lines.append(
            f"  {name:<20}{row['median_ms']:>10.2f}{row['p10_ms']:>9.2f}{row['p90_ms']:>9.2f}"
            f"{row['fastest_ms']:>9.2f}    "
            f"{_cell(ratio, '.2f'):>10}{_cell(peak and peak / MIB, '.1f'):>10}"
            f"{_cell(row['model_bytes'] / MIB or None, '.2f'):>11}{_cell(difference, '.1e'):>13}"
        )
    for name, reason in result["not_measured"].items():
        lines.append(f"  {name} not measured: {reason}")
    if result["baseline_memory_bytes"]:
        lines.append(
            "  peak memory: each in a fresh process; Python, NumPy and the bundle alone take "
            f"{result['baseline_memory_bytes'] / MIB:.1f} MiB"
        )
    for row in result["engines"]:
        if row["name"] != EAGER and "times_as_fast_as_eager" in row:
            lines.append(
                f"  {row['name']}/{row['implementation']} is "
                f"{row['times_as_fast_as_eager']:.1f}x as fast as eager float PyTorch"
            )
    return "\n".join(lines)


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
