"""The Markdown tables of what is compared with peers: pairs, networks of today, bytes to label."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from runtime.bench.end_to_end import CPU, WHOLE
from runtime.bench.mobile_graphs import SPECS
from runtime.bench.modern_networks import OURS, PUBLISHED
from runtime.bench.peer_contestants import FLOAT, INT8, PEERS, WITHOUT_INT8
from runtime.bench.peer_networks import INT8_SUFFIX, PAIRS
from runtime.measurement.tables import make_table

Figures = Mapping[str, Any]
NAMES = {
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "litert": "LiteRT",
    "ncnn": "ncnn",
    "mnn": "MNN",
}
COLUMNS = [
    *((peer, FLOAT) for peer in PEERS),
    *((peer, INT8) for peer in PEERS if peer not in WITHOUT_INT8),
]
LIMITED = ("openvino",)  # by ONEDNN_MAX_CPU_ISA
NOT_MEASURED = "not measured"


def tabulate_pairs(figures: Figures) -> list[str]:
    """Ours against every peer on MobileNet-v1, as times as fast."""
    result = figures.get("peers", {}).get("networks", {})
    found = result.get("rows", [])
    medians = {(r["network"], r["engine"], r["precision"]): r["median_ms"] for r in found}
    rows = []
    pairs = [(f"{ours}{suffix}", theirs) for ours, theirs in PAIRS for suffix in ("", INT8_SUFFIX)]
    for ours, theirs in pairs:
        mine = [ms for (network, *_), ms in medians.items() if network == ours]
        if not mine:
            continue
        cells = [f"{ours}: {mine[0]:.2f}", theirs]
        for peer, precision in COLUMNS:
            ms = medians.get((theirs, peer, precision))
            ratio = f": {ms / mine[0]:.2f}x" if ms and _is_comparable(figures, peer) else ""
            cells.append(NOT_MEASURED if ms is None else f"{ms:.2f}{ratio}")
        rows.append(cells)
    if not rows:
        return []
    return [
        "Whole networks at 224x224, untrained (random weights), medians in ms. *x*: times as fast "
        "as the peer. " + _describe_peers(figures, result),
        make_table(["ours", "at the same published accuracy", *_head()], rows),
    ]


def tabulate_modern(figures: Figures) -> list[str]:
    """Networks of today in every peer, and ours by their published accuracy."""
    result = figures.get("peers", {}).get("modern", {})
    found = result.get("rows", [])
    if not found:
        return []
    medians = {(r["network"], r["engine"], r["precision"]): r["median_ms"] for r in found}
    rows = []
    for name in SPECS:
        cells = [name, f"{PUBLISHED[name][0]:.1f}"]
        for peer, precision in COLUMNS:
            ms = medians.get((name, peer, precision))
            cells.append(NOT_MEASURED if ms is None else f"{ms:.2f}")
        rows.append(cells)
    ours = []
    for name in OURS:
        turns = [r for r in found if r["network"] == name and r["engine"].startswith("native/")]
        if not turns:
            continue
        against = []
        for theirs in SPECS:
            mine = [r["median_ms"] for r in turns if r["among"] == theirs]
            best = [
                ms
                for (network, peer, _), ms in medians.items()
                if network == theirs and _is_comparable(figures, peer)
            ]
            against.append(f"{min(best) / mine[0]:.2f}x" if mine and best else NOT_MEASURED)
        middle = statistics.median(r["median_ms"] for r in turns)
        ours.append([name, f"{PUBLISHED[name][0]:.1f}", f"{middle:.2f}", *against])
    sources = "; ".join(f"{name}: {source}" for name, (_, source) in PUBLISHED.items())
    return [
        "Networks of today at 224x224, untrained (random weights), medians in ms; top-1: percent "
        "on ImageNet as published. " + _describe_peers(figures, result),
        make_table(["network", "top-1", *_head()], rows),
        "Ours in the same turns. *x*: times as fast as the fastest peer that may be compared on "
        "that network, whatever its precision:",
        make_table(["ours", "top-1", "ms", *(f"against {name}" for name in SPECS)], ours),
        f"Sources of top-1: {sources}.",
    ]


def tabulate_end_to_end(figures: Figures) -> list[str]:
    """A JPEG's bytes to a label."""
    found = figures.get("end_to_end", {}).get("rows", [])
    if not found:
        return []
    rows = []
    for row in found:
        state = "" if row["trained"] else ", random weights"
        whole = row[WHOLE]
        rows.append(
            [
                f"{row['photo']}, {row['bytes'] / 1000:,.0f} kB",
                f"{row['network']}, {row['input'][1]}x{row['input'][2]}{state}",
                row["engine"],
                f"{whole['median_ms']:.2f}",
                f"{whole['p10_ms']:.2f} to {whole['p90_ms']:.2f}",
                f"{row[CPU]['median_ms']:.2f}",
            ]
        )
    head = ["JPEG", "network", "engine", "ms", "80 % of the runs", "CPU ms"]
    return [
        "A JPEG's bytes to a label, on one core; the peer decodes at full size:",
        make_table(head, rows),
    ]


def _head() -> list[str]:
    return [f"{NAMES[peer]} {precision}" for peer, precision in COLUMNS]


def _is_comparable(figures: Figures, peer: str) -> bool:
    """Whether a peer was kept to the instructions that ours were forced to, if they were."""
    return not figures["machine"].get("forced") or peer in LIMITED


def _describe_peers(figures: Figures, result: Figures) -> str:
    """Versions, instruction sets that a peer tells, and what is missing."""
    rows = result.get("rows", [])
    versions = dict.fromkeys(r["version"] for r in rows if r["engine"] in PEERS)
    text = f"{', '.join(versions)}." if versions else ""
    instructions = sorted({isa for r in rows for isa in r.get("instructions", [])})
    if instructions:
        text += f" OpenVINO's convolutions use {' and '.join(instructions)}."
    if figures["machine"].get("forced"):
        others = ", ".join(NAMES[peer] for peer in PEERS if peer not in LIMITED)
        text += (
            f" {others} cannot be kept from this CPU's other instructions: their times are no "
            "measure of a CPU without them, so there is no ratio."
        )
    reasons = {
        f"{NAMES[peer]} {INT8}: {WITHOUT_INT8[peer]}"
        for peer in WITHOUT_INT8
        if any(f": {peer} {INT8}" in name for name in result.get("not_measured", {}))
    }
    if reasons:
        text += f" Not measured: {'; '.join(sorted(reasons))}."
    return text
