"""Report on the binary layers of a network: each in both kernel families, beside the limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtime.bench.counts import BinaryShape, plan_layers
from runtime.bench.limits import SHARES, LimitMeter
from runtime.bundle import Bundle
from runtime.engines.prepare import prepare_bundle
from runtime.errors import ImplementationUnavailable
from runtime.kernels import library
from runtime.kernels.bitpack import GROWTH, KERNEL, WORD_BITS
from runtime.kernels.measuring import BINARY_MAC, FULL_ADDER, LayerTiming, measure_layer
from runtime.kernels.parts import Words
from runtime.measurement.machine import name_cpus
from runtime.measurement.timing import Progress, summarize
from runtime.plan import StageStep

BINARY_FAMILIES = ("popcount", "sliced")
TURNS = 5  # of the limits' samples within the runs of a layer


def random_weight(shape: BinaryShape) -> Words:
    """Seeded weights of a layer, [64, 3, 3, channels / 32]."""
    size = (GROWTH, KERNEL, KERNEL, shape.channels // WORD_BITS)
    return np.random.default_rng(0).integers(0, 2**32, size, dtype=np.uint32)


def chosen_families(bundle: Bundle) -> dict[BinaryShape, str]:
    """The kernel family that each distinct binary layer of a bundle runs in, as prepared now."""
    parts = zip(bundle.manifest.plan, prepare_bundle(bundle), strict=True)
    kernels = [
        layer["kernel"]
        for step, part in parts
        if isinstance(step, StageStep)
        for layer in library.report_part(part)
    ]
    return dict(zip(plan_layers(bundle.manifest.plan), kernels, strict=True))


def measure_shape(
    shape: BinaryShape, meter: LimitMeter, runs: int
) -> dict[str, dict[str, dict[str, Any]]]:
    """Times a layer in each family that takes it, in turns with the limits.

    family -> "counting" (the convolution alone) and "complete" (with what surrounds it): times,
    "rate_g" and "share" of the best loop of exclusive-or and popcount, "adder_share" of the loop of
    full adders.
    """
    samples: dict[str, list[LayerTiming]] = {}
    weight = random_weight(shape)
    families = [name for name in BINARY_FAMILIES if _takes(name, weight, shape)]
    for _ in range(TURNS):
        meter.sample()
        timings = measure_layer(weight, shape.height, shape.width, families, -(-runs // TURNS))
        for name, timing in timings.items():
            samples.setdefault(name, []).append(timing)
    return {
        name: {
            "counting": _rate(shape, [t.counting for t in timings], timings[0].full_adders, meter),
            "complete": _rate(shape, [t.complete for t in timings], 0, meter),
        }
        for name, timings in samples.items()
    }


def measure_layers(
    bundle: Bundle, meter: LimitMeter, runs: int, progress: Progress
) -> list[dict[str, Any]]:
    """One entry a distinct binary layer of the plan, in the order of execution.

    "channels", "height", "width", "times" (how often the network has it), "chosen" (the family it
    runs in, as prepared now), "families" (see measure_shape), "ratio" (popcount's time divided by
    sliced's, convolution alone) and "complete_ratio".
    """
    shapes = plan_layers(bundle.manifest.plan)
    chosen = chosen_families(bundle)
    entries = []
    for shape, times in Counter(shapes).items():
        progress(f"layers: {shape}")
        families = measure_shape(shape, meter, runs)
        entry = {
            "channels": shape.channels,
            "height": shape.height,
            "width": shape.width,
            "macs": shape.macs,
            "times": times,
            "chosen": chosen[shape],
            "families": families,
        }
        for ratio, what in (("ratio", "counting"), ("complete_ratio", "complete")):
            if "sliced" in families:
                popcount, sliced = (families[name][what] for name in BINARY_FAMILIES)
                entry[ratio] = popcount["median_ms"] / sliced["median_ms"]
        entries.append(entry)
    return entries


def format_layers(network: str, entries: Sequence[Mapping[str, Any]], cpus: Sequence[int]) -> str:
    """The table of all layers; * marks the family that the network runs a layer in."""
    lines = [
        f"binary layers of {network}: convolution alone, batch 1, threads 1, {name_cpus(cpus)}; "
        "* runs in the network",
        f"  {'':<20}{'popcount':^30}{'sliced':^38}{'popcount / sliced':>18}",
        f"  {'layer':<14}{'times':>6}{'us':>11}{'G/s':>8}{'of limit':>9}"
        f"{'us':>12}{'G/s':>8}{'of limit':>9}{'of adders':>10}{'alone':>10}{'in stage':>9}",
    ]
    for entry in entries:
        shape = f"{entry['height']}x{entry['width']}x{entry['channels']}"
        line = f"  {shape:<14}{entry['times']:>6}"
        for name in BINARY_FAMILIES:
            if name not in entry["families"]:
                line += f"{'-':>11}" + " " * 27
                continue
            row = entry["families"][name]["counting"]
            mark = "*" if entry["chosen"] == name else " "
            line += (
                f"{1000 * row['median_ms']:>11.1f}{mark}{row['rate_g']:>7.0f}{row['share']:>9.0%}"
            )
            if name == "sliced":
                line += f"{row['adder_share']:>11.0%}"
        if "ratio" in entry:
            line += f"{entry['ratio']:>10.2f}{entry['complete_ratio']:>9.2f}"
        lines.append(line)
    return "\n".join([*lines, SHARES])


def _takes(name: str, weight: Words, shape: BinaryShape) -> bool:
    try:
        measure_layer(weight, shape.height, shape.width, [name], 1)
    except ImplementationUnavailable:
        return False
    return True


def _rate(
    shape: BinaryShape, samples: Sequence[np.ndarray], full_adders: int, meter: LimitMeter
) -> dict[str, Any]:
    seconds = np.concatenate(samples) / 1e9
    median = float(np.median(seconds))
    rate = {
        **summarize(seconds),
        "unit": "binary MAC",
        "rate_g": shape.macs / median / 1e9,
        "share": shape.macs / median / meter.best(BINARY_MAC, TURNS),
    }
    if full_adders:
        rate["adder_share"] = full_adders / median / meter.best(FULL_ADDER, TURNS)
    return rate
