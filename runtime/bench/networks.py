"""Report on a network by its parts: chosen kernels against popcount, float parts against the limit.

Each part is timed within a pass through the whole network, so that it finds the caches as it would.
Batches and threads are compared through the native engine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from runtime import library
from runtime.bench.contestants import EAGER, make_images
from runtime.bench.counts import count_macs
from runtime.bench.limits import LimitMeter
from runtime.bench.machine import pinned
from runtime.bench.timing import Progress, Timer, summarize, take_turns, time_calls
from runtime.bundle import Bundle
from runtime.engine import Engine, load_engine
from runtime.errors import RuntimeFault
from runtime.measuring import BINARY_MAC, FLOAT_MAC
from runtime.parts import Floats, Part
from runtime.prepare import prepare_bundle

FORCE_KERNEL = "BNN_FORCE_KERNEL"  # read by the kernel library when a stage is prepared
CHOSEN, POPCOUNT = "chosen", "popcount"
BATCHES = (1, 8)
THREADS = (1, 2)

RunPart = Callable[[int, Floats], Floats]


@contextmanager
def forced_kernel(family: str) -> Iterator[None]:
    """Stages prepared meanwhile run in this kernel family."""
    before = os.environ.get(FORCE_KERNEL)
    os.environ[FORCE_KERNEL] = family
    try:
        yield
    finally:
        if before is None:
            del os.environ[FORCE_KERNEL]
        else:
            os.environ[FORCE_KERNEL] = before


def measure_network(
    bundle: Bundle,
    meter: LimitMeter,
    *,
    batch: int,
    runs: int,
    eager: bool,
    cpus: Sequence[int],
    progress: Progress,
) -> dict[str, Any]:
    """Parts, totals of the binary and the float ones, batches and threads. Raises RuntimeFault.

    eager: the parts of the float twin too. cpus: to use, see machine.pinned.
    """
    prepared = {CHOSEN: prepare_bundle(bundle)}
    with forced_kernel(POPCOUNT):
        prepared[POPCOUNT] = prepare_bundle(bundle)
    kernels = {name: [_kernels(part) for part in parts] for name, parts in prepared.items()}
    if kernels[CHOSEN] == kernels[POPCOUNT]:
        del prepared[POPCOUNT]
    passes = {name: _make_pass(bundle, parts, batch) for name, parts in prepared.items()}
    with pinned(1, cpus):
        if eager:
            from runtime.reference import EagerNetwork  # imports torch

            passes[EAGER] = EagerNetwork(bundle, 1).run_part
        samples = _time_parts(bundle, passes, meter, batch, runs, progress)
    limits = {"float": meter.best(FLOAT_MAC, runs), "binary": meter.best(BINARY_MAC, runs)}
    steps = bundle.manifest.plan
    parts = []
    for i, step in enumerate(steps):
        macs = count_macs(step)
        kind = "binary" if macs.binary else "float"
        operations = batch * (macs.binary or macs.floats)
        parts.append(
            {
                "name": step["name"],
                "kind": kind,
                "kernels": kernels[CHOSEN][i],
                "macs": operations,
                **{f"{name}_ms": summarize(s[:, i])["median_ms"] for name, s in samples.items()},
                **_rate(operations, samples[CHOSEN][:, i], limits[kind]),
            }
        )
    return {
        "network": bundle.manifest.name,
        "trained": bundle.manifest.trained,
        "input": list(bundle.manifest.input),
        "batch": batch,
        "parts": parts,
        "totals": _total(parts, samples, limits),
        "throughput": _measure_throughput(bundle, runs, cpus, progress),
    }


def format_network(result: Mapping[str, Any]) -> str:
    """The tables of one network."""
    shape = "x".join(map(str, result["input"]))
    state = "" if result["trained"] else ", untrained (random weights)"
    names = [name for name in (CHOSEN, POPCOUNT, EAGER) if f"{name}_ms" in result["parts"][0]]
    lines = [
        f"parts of {result['network']}{state}: input {shape}, batch {result['batch']}, threads 1, "
        "ms in the median",
        f"  {'part':<20}{''.join(f'{name:>10}' for name in names)}"
        f"{'M MAC':>10}{'G MAC/s':>10}{'of limit':>10}  kernels",
    ]
    for part in result["parts"]:
        times = "".join(f"{part[f'{name}_ms']:>10.3f}" for name in names)
        lines.append(
            f"  {part['name']:<20}{times}{part['macs'] / 1e6:>10.1f}{part['rate_g']:>10.1f}"
            f"{part['share']:>10.0%}  {', '.join(part['kernels'])}"
        )
    for kind, total in result["totals"].items():
        times = "".join(f"{total[name]['median_ms']:>10.3f}" for name in names)
        lines.append(
            f"  {f'all {kind} parts':<20}{times}{total['macs'] / 1e6:>10.1f}"
            f"{total['rate_g']:>10.1f}{total['share']:>10.0%}"
        )
    binary = result["totals"].get("binary")
    if binary and POPCOUNT in names:
        lines.append(
            "  the binary parts take popcount kernels "
            f"{binary[POPCOUNT]['median_ms'] / binary[CHOSEN]['median_ms']:.2f} times as long"
        )
    lines.append(f"  {'native engine':<20}{'ms a call':>10}{'p10':>9}{'p90':>9}{'ms an image':>13}")
    for row in result["throughput"]["rows"]:
        name = f"threads {row['threads']}, batch {row['batch']}"
        lines.append(
            f"  {name:<20}{row['median_ms']:>10.2f}{row['p10_ms']:>9.2f}{row['p90_ms']:>9.2f}"
            f"{row['median_ms'] / row['batch']:>13.2f}"
        )
    lines.extend(
        f"  threads {threads} not measured: {reason}"
        for threads, reason in result["throughput"]["not_measured"].items()
    )
    return "\n".join(lines)


def _kernels(part: Part) -> list[str]:
    return sorted({layer["kernel"] for layer in library.report_part(part)})


def _make_pass(bundle: Bundle, parts: Sequence[Part], batch: int) -> RunPart:
    infos = [library.describe_part(part) for part in parts]
    workspace = library.allocate(max(info.workspace_bytes for info in infos))
    results = [np.empty((batch, *step["output"]), np.float32) for step in bundle.manifest.plan]
    return lambda i, x: library.run_part(parts[i], x, workspace, results[i])


def _time_parts(
    bundle: Bundle,
    passes: Mapping[str, RunPart],
    meter: LimitMeter,
    batch: int,
    runs: int,
    progress: Progress,
) -> dict[str, np.ndarray]:
    """Seconds [runs, parts] of each kind of pass, in turns; the first turn is not counted."""
    count = len(bundle.manifest.plan)
    samples = {name: np.empty((runs + 1, count)) for name in passes}
    images = make_images(bundle, batch)
    for turn in range(runs + 1):
        meter.sample()
        for name, run in passes.items():
            progress(f"parts, turn {turn + 1} of {runs + 1}: {name}")
            x = images
            for i in range(count):
                start = time.perf_counter()
                x = run(i, x)
                samples[name][turn, i] = time.perf_counter() - start
    return {name: seconds[1:] for name, seconds in samples.items()}


def _rate(operations: int, seconds: np.ndarray, limit: float) -> dict[str, float]:
    rate = operations / float(np.median(seconds))
    return {"rate_g": rate / 1e9, "share": rate / limit}


def _total(
    parts: Sequence[Mapping[str, Any]],
    samples: Mapping[str, np.ndarray],
    limits: Mapping[str, float],
) -> dict[str, dict[str, Any]]:
    """Times of all binary and all float parts, summed pass by pass."""
    totals: dict[str, dict[str, Any]] = {}
    for kind in ("binary", "float"):
        mine = [i for i, part in enumerate(parts) if part["kind"] == kind]
        if mine:
            operations = sum(parts[i]["macs"] for i in mine)
            sums = {name: seconds[:, mine].sum(1) for name, seconds in samples.items()}
            totals[kind] = {
                "macs": operations,
                **_rate(operations, sums[CHOSEN], limits[kind]),
                **{name: summarize(seconds) for name, seconds in sums.items()},
            }
    return totals


def _measure_throughput(
    bundle: Bundle, runs: int, cpus: Sequence[int], progress: Progress
) -> dict[str, Any]:
    """The native engine at several batches and threads, in turns."""
    timers: dict[str, Timer] = {}
    settings: dict[str, dict[str, int]] = {}
    missing: dict[str, str] = {}
    for threads in THREADS:
        try:
            with pinned(threads, cpus):
                engine = load_engine(bundle, "native", threads)
        except RuntimeFault as error:
            missing[str(threads)] = str(error)
            continue
        for batch in BATCHES:
            name = f"threads {threads}, batch {batch}"
            timers[name] = _pinned_timer(engine, make_images(bundle, batch), threads, cpus)
            settings[name] = {"threads": threads, "batch": batch}
    seconds, failures = take_turns(timers, runs, progress)
    if failures:
        raise RuntimeFault("; ".join(failures.values()))
    rows = [{**settings[name], **summarize(values)} for name, values in seconds.items()]
    return {"rows": rows, "not_measured": missing}


def _pinned_timer(engine: Engine, images: Floats, threads: int, cpus: Sequence[int]) -> Timer:
    """Threads that the engine starts in its first call inherit the CPUs."""
    timer = time_calls(lambda: engine.predict(images))

    def run(runs: int) -> list[float]:
        with pinned(threads, cpus):
            return timer(runs)

    return run
