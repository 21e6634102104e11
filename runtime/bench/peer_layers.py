"""Report on single binary layers: ours in turns with OpenVINO's BinaryConvolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtime.bench.counts import BinaryShape
from runtime.bench.interpreters import explain
from runtime.bench.layers import random_weight
from runtime.bench.peer_process import PeerProcess
from runtime.errors import RuntimeFault
from runtime.kernels.measuring import measure_layer
from runtime.measurement.machine import name_cpus, pinned
from runtime.measurement.timing import RUNS_PER_TURN, Progress, summarize

PARTS = {"counting": "convolution", "complete": "whole"}  # ours -> the peer's


def measure_peer_layers(
    layers: Mapping[BinaryShape, str],
    interpreters: Mapping[str, str],
    *,
    runs: int,
    cpus: Sequence[int],
    progress: Progress,
) -> dict[str, Any]:
    """Layers, each in the kernel family named with it, against OpenVINO on one thread.

    "rows": one a layer, with "ours" and "openvino": times of "counting" (the convolution alone) and
    "complete" (ours: with comparisons and border; OpenVINO's: a whole inference), "ratio" and
    "complete_ratio" (its median divided by ours). "not_measured": why there are none.
    """
    shapes = {str(s): [s.channels, s.height, s.width] for s in layers}
    with pinned(1, cpus) as used:
        progress("starting openvino on single layers")
        options = {"threads": 1, "layers": shapes}
        try:
            with PeerProcess(interpreters["openvino"], "openvino_layers_peer", options) as peer:
                rows = [_measure_row(*layer, peer, runs, progress) for layer in layers.items()]
                version = peer.facts["version"]
        except RuntimeFault as error:
            why = explain("openvino", error)
            return {"rows": [], "not_measured": {"openvino BinaryConvolution": why}}
    return {"rows": rows, "version": version, "cpus": used, "not_measured": {}}


def format_peer_layers(result: Mapping[str, Any]) -> str:
    """The table of all layers."""
    lines = [
        "binary layers against OpenVINO's BinaryConvolution, batch 1, threads 1, us in the median",
    ]
    lines.extend(f"  {name} not measured: {why}" for name, why in result["not_measured"].items())
    if not result["rows"]:
        return "\n".join(lines)
    lines[0] += f", {result['version']}, {name_cpus(result['cpus'])}"
    lines.append(f"  {'':<24}{'convolution alone':^30}{'with what surrounds it':^30}")
    lines.append(f"  {'layer':<14}{'ours':<10}" + f"{'ours':>9}{'openvino':>11}{'ratio':>9} " * 2)
    for row in result["rows"]:
        line = f"  {row['layer']:<14}{row['family']:<10}"
        for part, ratio in (("counting", "ratio"), ("complete", "complete_ratio")):
            ours, theirs = (1000 * row[who][part]["median_ms"] for who in ("ours", "openvino"))
            line += f"{ours:>9.1f}{theirs:>11.1f}{row[ratio]:>9.2f} "
        lines.append(f"{line} {row['kernel']}, {row['reorders']} reorders")
    return "\n".join(lines)


def _measure_row(
    shape: BinaryShape, family: str, peer: PeerProcess, runs: int, progress: Progress
) -> dict[str, Any]:
    progress(f"openvino: layer {shape}")
    weight = random_weight(shape)
    ours: dict[str, list[float]] = {part: [] for part in PARTS}
    theirs: dict[str, list[float]] = {part: [] for part in PARTS}
    for _ in range(-(-runs // RUNS_PER_TURN)):
        seconds = peer.time(str(shape), RUNS_PER_TURN)
        sizes = (shape.height, shape.width)
        timing = measure_layer(weight, *sizes, [family], RUNS_PER_TURN)[family]
        for part, name in PARTS.items():
            theirs[part] += seconds[name]
            ours[part] += [float(value) / 1e9 for value in getattr(timing, part)]
    ratios = {part: float(np.median(theirs[part]) / np.median(ours[part])) for part in PARTS}
    return {
        "layer": str(shape),
        "macs": shape.macs,
        "family": family,
        "kernel": peer.facts["kernels"][str(shape)],
        "reorders": peer.facts["reorders"][str(shape)],
        "ours": {part: summarize(values) for part, values in ours.items()},
        "openvino": {part: summarize(values) for part, values in theirs.items()},
        "ratio": ratios["counting"],
        "complete_ratio": ratios["complete"],
    }
