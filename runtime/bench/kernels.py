"""Report on single kernels: rate of each on a typical layer, and its share of the limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from runtime.bench.counts import BinaryShape
from runtime.bench.layers import BINARY_FAMILIES, measure_shape
from runtime.bench.limits import SHARES, LimitMeter
from runtime.kernels import library
from runtime.kernels.measuring import FLOAT_MAC, INT8_MAC
from runtime.kernels.parts import Convolution, Floats, Int8, Stem, Transition, Window
from runtime.measurement.machine import name_cpus
from runtime.measurement.timing import Progress, summarize

# One binary layer on each map of a network for 224 pixels.
BINARY_SHAPES = (
    BinaryShape(320, 56, 56),
    BinaryShape(480, 28, 28),
    BinaryShape(480, 14, 14),
    BinaryShape(512, 7, 7),
)
PACK_SHAPE = (56 * 56, 64)  # pixels, channels
INT8_LAYERS = ("1x1",)  # of these, that are measured in 8-bit arithmetic, too
# (name, channels in, channels out, kernel, stride, groups, side of the input)
FLOAT_LAYERS = (
    ("3x3 stride 2", 3, 32, 3, 2, 1, 224),
    ("3x3, 4 groups", 32, 32, 3, 1, 4, 112),
    ("3x3, 8 groups", 32, 64, 3, 1, 8, 112),
    ("1x1", 320, 160, 1, 1, 1, 28),
    ("1x1", 480, 224, 1, 1, 1, 14),
)


def measure_kernels(meter: LimitMeter, runs: int, progress: Progress) -> list[dict[str, Any]]:
    """One entry a kernel: "kernel", "shape", times, "unit", "rate_g", "share" of its limit or None.

    Bit-sliced ones have "adder_share" too.
    """
    entries: list[dict[str, Any]] = []
    for shape in BINARY_SHAPES:
        progress(f"kernels: binary convolution {shape}")
        families = measure_shape(shape, meter, runs)
        entries.extend(
            {"kernel": f"{name} convolution", "shape": str(shape)} | families[name]["counting"]
            for name in BINARY_FAMILIES
            if name in families
        )
    for name, channels_in, channels_out, kernel, stride, groups, side in FLOAT_LAYERS:
        progress(f"kernels: float convolution {name}")
        for arithmetic, unit in (("float", FLOAT_MAC), ("8-bit", INT8_MAC)):
            is_int8 = unit == INT8_MAC
            if is_int8 and name not in INT8_LAYERS:
                continue
            run, macs = _prepare_float(
                channels_in, channels_out, kernel, stride, groups, side, is_int8
            )
            seconds = _time(run, meter, runs)
            entries.append(
                {
                    "kernel": f"{arithmetic} convolution {name}",
                    "shape": f"{side}x{side}x{channels_in} to {channels_out}",
                    **summarize(seconds),
                    "unit": unit,
                    "rate_g": macs / float(np.median(seconds)) / 1e9,
                    "share": macs / float(np.median(seconds)) / meter.best(unit, runs),
                }
            )
    progress("kernels: packing")
    pixels, channels = PACK_SHAPE
    x = _noise(*PACK_SHAPE)
    seconds = _time(lambda: library.pack(x), meter, runs)
    entries.append(
        {
            "kernel": "compare and pack floats",
            "shape": f"{pixels} pixels x {channels}",
            **summarize(seconds),
            **{"unit": "values", "rate_g": x.size / float(np.median(seconds)) / 1e9},
            **{"share": None},
        }
    )
    return entries


def format_kernels(entries: Sequence[dict[str, Any]], cpus: Sequence[int]) -> str:
    """The table of all kernels."""
    lines = [
        f"kernels, batch 1, threads 1, {name_cpus(cpus)}",
        f"  {'kernel':<34}{'layer':<22}{'median us':>10}{'p10':>8}{'p90':>8}"
        f"{'G/s':>9}{'of limit':>10}{'of adders':>11}",
    ]
    lines.extend(
        f"  {entry['kernel']:<34}{entry['shape']:<22}{1000 * entry['median_ms']:>10.1f}"
        f"{1000 * entry['p10_ms']:>8.1f}{1000 * entry['p90_ms']:>8.1f}{entry['rate_g']:>9.1f}"
        f"{_percent(entry['share']):>10}{_percent(entry.get('adder_share')):>11}  {entry['unit']}"
        for entry in entries
    )
    return "\n".join([*lines, SHARES])


def _prepare_float(
    channels_in: int,
    channels_out: int,
    kernel: int,
    stride: int,
    groups: int,
    side: int,
    is_int8: bool,
) -> tuple[Callable[[], object], int]:
    """A float layer group of one convolution, ready to run, and its multiply-adds."""
    per_group, before = channels_in // groups, kernel // 2
    weight = _noise(channels_out, per_group, kernel, kernel)
    window = Window(kernel, stride, before, before)
    convolution = Convolution(weight, None, window, groups)
    if is_int8:
        levels = np.clip(40 * weight, -127, 127).astype(np.int8)
        int8 = Int8(np.ones(channels_out, np.float32), 60.0)
        convolution = Convolution(levels, None, window, groups, int8=int8)
    if kernel == 1:
        ones, zeros = np.ones(channels_in, np.float32), np.zeros(channels_in, np.float32)
        part = library.prepare_transition(Transition(ones, zeros, side, side, None, 1, convolution))
    else:
        part = library.prepare_stem(Stem(side, side, [convolution]))
    info = library.describe_part(part)
    x = _noise(1, *info.input)
    workspace = library.allocate(info.workspace_bytes)
    out = np.empty((1, *info.output), np.float32)
    macs = int(np.prod(info.output)) * per_group * kernel**2
    return lambda: library.run_part(part, x, workspace, out), macs


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _time(call: Callable[[], object], meter: LimitMeter, runs: int) -> list[float]:
    seconds = []
    for _ in range(runs):
        meter.sample()
        call()
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def _noise(*shape: int) -> Floats:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)
