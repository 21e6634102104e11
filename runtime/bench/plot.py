"""Figures of a report as an image: latencies with spread, kernels beside their limits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.bench.peer_contestants import INT8, PEERS
from runtime.bench.peer_networks import BINARY, INT8_SUFFIX, LARQ_VARIANT, PAIRS
from runtime.bench.peer_tables import NAMES
from runtime.bench.svg import Bar, Chart, Group, Mark, draw_charts
from runtime.errors import RuntimeFault
from runtime.kernels.measuring import BINARY_MAC
from runtime.measurement.machine import format_machine

Figures = Mapping[str, Any]

# Colours that people with any colour vision tell apart.
OURS, POPCOUNT, FLOAT_COLOR, EAGER_COLOR = "#0072b2", "#56b4e9", "#e69f00", "#9aa5b1"
COLORS = {
    "native": OURS,
    "torchscript": "#56b4e9",
    "onnx": "#e69f00",
    "eager": EAGER_COLOR,
    "onnxruntime": "#e69f00",
    "openvino": "#009e73",
    "litert": "#d55e00",
    "ncnn": "#f0e442",
    "mnn": "#7a5195",
    "larq": "#cc79a7",
}
SPREAD = "bars are medians, whiskers hold 80 % of the runs"


def write_plot(figures: Figures, path: Path) -> None:
    """Writes the image as SVG. Raises RuntimeFault if the figures hold nothing to draw."""
    charts = [
        chart
        for make in (_peer_networks, _larq, _parts, _layers, _kernels, _peer_layers, _engines)
        for chart in make(figures)
    ]
    if not charts:
        raise RuntimeFault("expected figures to draw, found none; measure another section")
    machine = format_machine(figures["machine"]).splitlines()
    path.write_text(draw_charts("runtime.bench", machine, charts), encoding="utf-8")


def _times(row: Figures, label: str, color: str, pale: bool = False) -> Bar:
    median, low, high = (row[f"{name}_ms"] for name in ("median", "p10", "p90"))
    return Bar(label, median, color, low, high, pale=pale)


def _rate(macs: int, times: Figures, color: str, share: float | None = None) -> Bar:
    """A bar of G MAC/s; the quickest runs make its high end."""
    median, low, high = (macs / times[f"{name}_ms"] / 1e6 for name in ("median", "p90", "p10"))
    text = None if share is None else f"{median:.0f}, {share:.0%}"
    return Bar("", median, color, low, high, text)


def _own_share(rate: Figures) -> float:
    """Of the limit of what the kernel is made of: full adders, or exclusive-or and popcount."""
    return float(rate.get("adder_share", rate["share"]))


def _color(engine: str) -> str:
    return COLORS[engine.replace(",", "/").partition("/")[0]]


def _setting(result: Figures) -> str:
    return f"batch {result['batch']}, threads {result['threads']}"


def _peer_bars(rows: list[Figures], network: str, suffix: str = "") -> list[Bar]:
    bars = []
    for row in rows:
        if row["network"] == network:
            kind = "" if row["precision"] == BINARY else f" {row['precision']}"
            label = f"{row['engine']}{suffix}{kind}"
            bars.append(_times(row, label, _color(row["engine"]), row["precision"] == INT8))
    return bars


def _peer_networks(figures: Figures) -> list[Chart]:
    result = figures.get("peers", {}).get("networks", {})
    rows = result.get("rows", [])
    groups = [
        Group(f"{ours} and {theirs}", bars)
        for ours, theirs in PAIRS
        if (
            bars := [
                *_peer_bars(rows, ours),
                *_peer_bars(rows, f"{ours}{INT8_SUFFIX}", INT8_SUFFIX),
                *_peer_bars(rows, theirs),
            ]
        )
    ]
    if not groups:
        return []
    return [
        Chart(
            "Networks of equal published accuracy",
            f"224 x 224, untrained, {_setting(result)}; {SPREAD}",
            "ms",
            groups,
            legend={"ours": OURS} | {NAMES[peer]: _color(peer) for peer in PEERS},
        )
    ]


def _larq(figures: Figures) -> list[Chart]:
    result = figures.get("peers", {}).get("networks", {})
    bars = [
        _times(row, row["engine"], _color(row["engine"]))
        for row in result.get("rows", [])
        if row["network"] == LARQ_VARIANT
    ]
    if len(bars) < 2:
        return []
    title = "MeliusNet22 in larq's variant"
    subtitle = f"224 x 224, untrained, {_setting(result)}; {SPREAD}"
    return [Chart(title, subtitle, "ms", [Group("", bars)])]


def _parts(figures: Figures) -> list[Chart]:
    colors = {"chosen": OURS, "popcount": POPCOUNT}
    charts = []
    for result in figures.get("networks", []):
        groups = [
            Group(
                part["name"],
                [Bar("", part["chosen_ms"], FLOAT_COLOR)]
                if part["kind"] == "float"
                else [
                    Bar("", part[f"{name}_ms"], color)
                    for name, color in colors.items()
                    if f"{name}_ms" in part
                ],
            )
            for part in result["parts"]
        ]
        charts.append(
            Chart(
                f"Parts of {result['network']}",
                "one thread, batch 1, within the call for the network; medians",
                "ms",
                groups,
                legend={"binary, chosen kernels": OURS, "binary, popcount kernels": POPCOUNT}
                | {"float": FLOAT_COLOR},
            )
        )
    return charts


def _layers(figures: Figures) -> list[Chart]:
    if not figures.get("layers"):
        return []
    colors = {"popcount": POPCOUNT, "sliced": OURS}
    groups = []
    for entry in figures["layers"]["layers"]:
        bars = [
            _rate(entry["macs"], row["counting"], colors[name], _own_share(row["counting"]))
            for name, row in entry["families"].items()
        ]
        shape = f"{entry['height']} x {entry['width']} x {entry['channels']}"
        groups.append(Group(f"{shape}, {entry['chosen']}", bars))
    limits = [e for e in figures.get("limits", []) if e["operation"] == BINARY_MAC]
    marks = []
    if limits:
        best = max(limits, key=lambda entry: float(entry["median_g"]))
        marks = [Mark(best["median_g"], f"limit: {best['name']}")]
    return [
        Chart(
            f"Binary layers of {figures['layers']['network']}",
            "convolution alone, one thread; share of the family's own limit; the family named runs "
            "in the network",
            "G binary MAC/s",
            groups,
            marks,
            {"popcount": POPCOUNT, "bit-sliced": OURS},
        )
    ]


def _kernels(figures: Figures) -> list[Chart]:
    colors = {"popcount": POPCOUNT, "sliced": OURS, "float": FLOAT_COLOR, "8-bit": FLOAT_COLOR}
    bars = []
    for entry in figures.get("kernels", []):
        if entry["share"] is None:
            continue
        share = _own_share(entry)
        bars.append(
            Bar(
                f"{entry['kernel'].replace(' convolution', '')}, {entry['shape']}",
                100 * share,
                colors[entry["kernel"].partition(" ")[0]],
                text=f"{share:.0%}, {entry['rate_g']:.0f} G/s",
            )
        )
    if not bars:
        return []
    return [
        Chart(
            "Kernels beside the limit of their instructions",
            "loops over registers: exclusive-or and popcount; full adders; multiply-adds",
            "% of it",
            [Group("", bars)],
            [Mark(100, "limit")],
            {"popcount": POPCOUNT, "bit-sliced": OURS, "float and 8-bit": FLOAT_COLOR},
        )
    ]


def _peer_layers(figures: Figures) -> list[Chart]:
    rows = figures.get("peers", {}).get("layers", {}).get("rows", [])
    if not rows:
        return []
    colors = {"ours": OURS, "openvino": _color("openvino")}
    groups = [
        Group(
            row["layer"].replace("x", " x "),
            [_rate(row["macs"], row[who]["counting"], color) for who, color in colors.items()],
        )
        for row in rows
    ]
    return [
        Chart(
            "Binary layers and OpenVINO's BinaryConvolution",
            f"convolution alone, one thread; {SPREAD}",
            "G binary MAC/s",
            groups,
            legend={"ours": OURS, "OpenVINO": _color("openvino")},
        )
    ]


def _engines(figures: Figures) -> list[Chart]:
    charts = []
    for result in figures.get("engines", []):
        bars = [
            _times(row, f"{row['name']}/{row['implementation']}", _color(row["name"]))
            for row in result["engines"]
        ]
        if bars:
            shape = " x ".join(map(str, result["input"][1:]))
            charts.append(
                Chart(
                    f"Engines on {result['network']}",
                    f"{shape}, {_setting(result)}; {SPREAD}",
                    "ms",
                    [Group("", bars)],
                )
            )
    return charts
