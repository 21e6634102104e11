"""Report on a network by layer group: chosen kernels against popcount, and against the limit.

The kernel library profiles its own call for a whole network: each layer group finds the caches as
it does in use, and a stage that hands its counts to the following transition does so here, too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from runtime.bench.contestants import EAGER
from runtime.bench.counts import count_macs
from runtime.bench.limits import LimitMeter
from runtime.bench.throughput import format_throughput, measure_throughput
from runtime.bundle import Bundle
from runtime.engines.prepare import prepare_bundle
from runtime.kernels import library
from runtime.kernels.measuring import BINARY_MAC, FLOAT_MAC, INT8_MAC
from runtime.kernels.network import Network, phase_names
from runtime.kernels.parts import Floats, Part
from runtime.measurement.inputs import make_images
from runtime.measurement.machine import pinned
from runtime.measurement.timing import Progress, summarize

FORCE_KERNEL = "BNN_FORCE_KERNEL"  # read by the kernel library when a stage is prepared
CHOSEN, POPCOUNT = "chosen", "popcount"
POOL = "pool"  # the phase of a transition that unpacks the counts of a fused stage, too

# Seconds [layer groups, phases] of one image.
Pass = Callable[[Floats], np.ndarray]


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
    runs: int,
    eager: bool,
    cpus: Sequence[int],
    progress: Progress,
) -> dict[str, Any]:
    """Layer groups and their phases, totals of the binary and the float ones, batches and threads.

    eager: the layer groups of the full-precision reference, too. cpus: to use, see machine.pinned.

    Raises RuntimeFault.
    """
    prepared = {CHOSEN: prepare_bundle(bundle)}
    with forced_kernel(POPCOUNT):
        prepared[POPCOUNT] = prepare_bundle(bundle)
    kernels = {name: [_kernels(part) for part in parts] for name, parts in prepared.items()}
    if kernels[CHOSEN] == kernels[POPCOUNT]:
        del prepared[POPCOUNT]
    passes = {name: _make_pass(parts) for name, parts in prepared.items()}
    with pinned(1, cpus):
        if eager:
            passes[EAGER] = _make_eager_pass(bundle)
        samples = _time_passes(bundle, passes, meter, runs, progress)
    limits = {name: meter.best(name, runs) for name in (FLOAT_MAC, INT8_MAC, BINARY_MAC)}
    parts = []
    for i, step in enumerate(bundle.manifest.plan):
        macs = count_macs(step)
        kind = "binary" if macs.binary else "float"
        operations = macs.binary + macs.floats + macs.int8
        least = (  # seconds at the limits
            macs.floats / limits[FLOAT_MAC]
            + macs.int8 / limits[INT8_MAC]
            + macs.binary / limits[BINARY_MAC]
        )
        chosen = samples[CHOSEN][:, i]
        parts.append(
            {
                "name": step.name,
                "kind": kind,
                "kernels": kernels[CHOSEN][i],
                "macs": operations,
                **{f"{name}_ms": _median(s[:, i].sum(1)) for name, s in samples.items()},
                "least_ms": 1000 * least,
                **_rate(operations, chosen.sum(1), least),
                "phases_ms": dict(zip(phase_names(), map(_median, chosen.T), strict=True)),
            }
        )
    return {
        "network": bundle.manifest.name,
        "trained": bundle.manifest.trained,
        "input": list(bundle.manifest.input),
        "parts": parts,
        "totals": _total(parts, samples),
        "throughput": measure_throughput(bundle, runs, cpus, progress),
    }


def format_network(result: Mapping[str, Any]) -> str:
    """The tables of one network."""
    shape = "x".join(map(str, result["input"]))
    state = "" if result["trained"] else ", untrained (random weights)"
    names = [name for name in (CHOSEN, POPCOUNT, EAGER) if f"{name}_ms" in result["parts"][0]]
    lines = [
        f"layer groups of {result['network']}{state} within its call: input {shape}, batch 1, "
        "threads 1, median ms",
        f"  {'layer group':<20}{''.join(f'{name:>10}' for name in names)}"
        f"{'M MAC':>10}{'G MAC/s':>10}{'of limit':>10}  kernels",
    ]
    for part in result["parts"]:
        times = "".join(f"{part[f'{name}_ms']:>10.3f}" for name in names)
        lines.append(
            f"  {part['name']:<20}{times}{part['macs'] / 1e6:>10.1f}{part['rate_g']:>10.1f}"
            f"{part['share']:>10.0%}  {', '.join(part['kernels'])}"
        )
    for kind, total in result["totals"].items():
        if "macs" not in total:
            continue
        times = "".join(f"{total[name]['median_ms']:>10.3f}" for name in names)
        lines.append(
            f"  {f'all {kind} groups':<20}{times}{total['macs'] / 1e6:>10.1f}"
            f"{total['rate_g']:>10.1f}{total['share']:>10.0%}"
        )
    lines += _format_ratios(result["totals"])
    lines += ["  what the chosen ones are spent on", *_format_phases(result["parts"])]
    return "\n".join(lines + format_throughput(result["throughput"]))


def _format_ratios(totals: Mapping[str, Any]) -> list[str]:
    if POPCOUNT not in totals.get("binary", {}):
        return []
    ratios = {
        kind: totals[kind][POPCOUNT]["median_ms"] / totals[kind][CHOSEN]["median_ms"]
        for kind in ("binary", "binary and pools")
        if kind in totals
    }
    with_pools = ratios.get("binary and pools")
    return [
        f"  the binary layer groups take popcount kernels {ratios['binary']:.2f} times as long"
        + (f", {with_pools:.2f} with the pools that counts are unpacked for" if with_pools else "")
    ]


def _format_phases(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    names = [
        name
        for name in phase_names()
        if any(f"{part['phases_ms'][name]:.3f}" != "0.000" for part in parts)
    ]
    return [
        f"  {'layer group':<20}{''.join(f'{name:>10}' for name in names)}",
        *(
            f"  {part['name']:<20}{''.join(f'{_cell(part, name):>10}' for name in names)}"
            for part in parts
        ),
    ]


def _cell(part: Mapping[str, Any], phase: str) -> str:
    value = f"{part['phases_ms'][phase]:.3f}"
    return "-" if value == "0.000" else value


def _kernels(part: Part) -> list[str]:
    return sorted({layer["kernel"] for layer in library.report_part(part)})


def _make_pass(parts: Sequence[Part]) -> Pass:
    network = Network(parts)
    workspace = network.allocate_workspace(1)
    out = np.empty((1, network.classes), np.float32)
    return lambda image: network.profile(image, workspace, out) / 1e9


def _make_eager_pass(bundle: Bundle) -> Pass:
    from runtime.engines.reference import EagerNetwork  # imports torch

    twin = EagerNetwork(bundle, 1)
    count = len(bundle.manifest.plan)

    def run(x: Floats) -> np.ndarray:
        seconds = np.empty((count, 1))
        for i in range(count):
            start = time.perf_counter()
            x = twin.run_part(i, x)
            seconds[i] = time.perf_counter() - start
        return seconds

    return run


def _time_passes(
    bundle: Bundle,
    passes: Mapping[str, Pass],
    meter: LimitMeter,
    runs: int,
    progress: Progress,
) -> dict[str, np.ndarray]:
    """Seconds [runs, layer groups, phases] of each pass, in turns; the first is not counted."""
    samples: dict[str, list[np.ndarray]] = {name: [] for name in passes}
    image = make_images(bundle, 1)
    for turn in range(runs + 1):
        meter.sample()
        for name, run in passes.items():
            progress(f"layer groups, turn {turn + 1} of {runs + 1}: {name}")
            samples[name].append(run(image))
    return {name: np.array(values[1:]) for name, values in samples.items()}


def _median(seconds: np.ndarray) -> float:
    return float(1000 * np.median(seconds))


def _rate(operations: int, seconds: np.ndarray, least: float) -> dict[str, float]:
    median = float(np.median(seconds))
    return {"rate_g": operations / median / 1e9, "share": least / median}


def _total(
    parts: Sequence[Mapping[str, Any]],
    samples: Mapping[str, np.ndarray],
) -> dict[str, dict[str, Any]]:
    """Times of all binary and all float layer groups, summed pass by pass.

    And of the binary ones with the transitions' pools: there the chosen kernels make numbers of
    counts, popcount kernels do within their stages.
    """
    totals: dict[str, dict[str, Any]] = {}
    for kind in ("binary", "float"):
        mine = [i for i, part in enumerate(parts) if part["kind"] == kind]
        if mine:
            operations = sum(parts[i]["macs"] for i in mine)
            sums = {name: seconds[:, mine].sum((1, 2)) for name, seconds in samples.items()}
            totals[kind] = {
                "macs": operations,
                **_rate(operations, sums[CHOSEN], sum(parts[i]["least_ms"] for i in mine) / 1000),
                **{name: summarize(seconds) for name, seconds in sums.items()},
            }
    if POPCOUNT in samples:
        stages = [i for i, part in enumerate(parts) if part["kind"] == "binary"]
        pool = phase_names().index(POOL)
        totals["binary and pools"] = {
            name: summarize(samples[name][:, stages].sum((1, 2)) + samples[name][:, :, pool].sum(1))
            for name in (CHOSEN, POPCOUNT)
        }
    return totals
