"""Tables and thresholds of `loadtests.memory`."""

import argparse
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from PIL import Image

from loadtests.clients.images import EncodedImage
from loadtests.memory.measured import Measured
from loadtests.memory.parts import list_parts
from loadtests.memory.plot import draw_memory
from loadtests.memory.sides import SLIM
from loadtests.output.report import Check, Report, check_at_most
from loadtests.servers.processes import MIB, format_bytes
from loadtests.servers.steps import ARENA, MODEL


def add_results(
    report: Report,
    found: Sequence[Measured],
    images: Sequence[EncodedImage],
    options: argparse.Namespace,
) -> None:
    """Adds what was measured, and judges it."""
    sizes = [_measure_pixels(image) for image in images]
    report.paragraphs.append(
        f"{len(images)} photos in {', '.join(sorted(_name_formats(images)))}, up to "
        f"{max(sizes) / 1e6:.2f} megapixels; closed loops of {_join(options.clients)} clients, in "
        f"slices of {options.seconds:g} s until two of them raise the peak by no more than "
        f"{options.max_rise:.0%}. The service's network is `{options.network.name}`, "
        f"MobileNet's bundle `{options.mobilenet.name}`."
    )
    _add_sides(report, found, options)
    for one in found:
        if one.side.name == SLIM:
            _add_breakdown(report, one)
            _add_decoding(report, one, images)
            _judge_slim(report, one, options)
    for one in found:
        _judge_level(report, one, options)
    if options.plot:
        draw_memory(found, options.plot)
        report.paragraphs.append(f"Chart: {options.plot.name}.")
    report.data["sides"] = [_to_json(one) for one in found]


def _add_sides(report: Report, found: Sequence[Measured], options: argparse.Namespace) -> None:
    loads = [f"peak, {clients} clients" for clients in options.clients]
    head = ["server", "engine", "processes", "before the model", "idle", "PSS", *loads]
    head += ["after the load", "idle - before", "peak - before", "images/s"]
    rows = [
        [
            one.side.name,
            one.breakdown.engine if one.breakdown else "onnxruntime",
            str(one.usage.processes),
            *(format_bytes(size) for size in (one.no_model, one.idle.rss, one.idle.pss)),
            *(format_bytes(load.peak) for load in one.loads),
            format_bytes(one.after),
            format_bytes(one.idle.rss - one.no_model),
            format_bytes(one.peak - one.no_model),
            f"{one.loads[-1].answers / one.loads[-1].seconds:.0f}",
        ]
        for one in found
    ]
    report.add_table(
        "RSS in MiB. *Before the model*: the same server with everything imported that serving "
        "takes, ONNX Runtime or torch included, and no model loaded. Of several processes the sum, "
        "in which a shared page counts in each; *PSS* counts it once. *After the load*: idle for "
        "five seconds again.",
        head,
        rows,
    )


def _add_breakdown(report: Report, one: Measured) -> None:
    assert one.breakdown is not None
    rows = []
    for part in list_parts(one):
        kinds = ["", ""]
        if part.memory is not None:
            clean = part.memory.private_clean + part.memory.shared_clean
            kinds = [format_bytes(part.memory.private_dirty), format_bytes(clean)]
        share = f"{part.rss / one.peak:.0%}"
        rows.append([part.name, format_bytes(part.rss), *kinds, share])
    written, clean = one.idle.private_dirty, one.idle.private_clean + one.idle.shared_clean
    rows.append(
        ["**idle**", format_bytes(one.idle.rss), format_bytes(written), format_bytes(clean), ""]
    )
    rows.append(["**peak**", format_bytes(one.peak), "", "", "100%"])
    report.add_table(
        f"What the native service consists of, MiB (`{one.breakdown.engine}`). Each part is what "
        "the process grew by in this step; *written* is its own memory, *of files* is pages of "
        "libraries and weights, which processes share and the system may drop. "
        f"The weights' file has {format_bytes(one.breakdown.weights_bytes)} MiB, of which "
        f"{format_bytes(one.mapped_weights)} MiB stay mapped in the idle service: the kernels have "
        "their own layout of them (model). The engine's workspace is "
        f"{format_bytes(one.breakdown.workspace_bytes)} MiB, taken while it computes: the images "
        "that are decoded before and after have the same pages. What a first run leaves is the "
        "arena.",
        ["part", "RSS", "written", "of files", "of the peak"],
        rows,
    )


def _add_decoding(report: Report, one: Measured, images: Sequence[EncodedImage]) -> None:
    assert one.breakdown is not None
    rows = []
    for image in images:
        size, pixels = one.breakdown.decoding[image.name], _measure_pixels(image)
        cells = [image.name, f"{len(image.data) / 1024:.0f}", format_bytes(size)]
        rows.append([*cells, f"{size / pixels:.1f}"])
    report.add_table(
        "RSS that one image takes while it is read, decoded and prepared, the second time:",
        ["image", "file KiB", "MiB", "bytes a pixel"],
        rows,
    )


def _judge_slim(report: Report, one: Measured, options: argparse.Namespace) -> None:
    assert one.breakdown is not None
    report.checks.append(
        check_at_most("peak RSS of the native service", one.peak / MIB, options.max_mib, " MiB")
    )
    model = one.breakdown.add_up(MODEL, ARENA).rss + one.breakdown.workspace_bytes
    report.checks.append(
        check_at_most("model, arena and workspace", model / MIB, options.max_model_mib, " MiB")
    )
    gap = abs(one.idle.rss - one.breakdown.total.rss) / one.idle.rss
    report.checks.append(
        check_at_most("parts together, away from the idle service", gap, options.max_gap)
    )
    heavy = sorted({*one.heavy, *one.breakdown.heavy})
    report.checks.append(
        Check("torch or ONNX Runtime in it", ", ".join(heavy) or "none", "none", not heavy)
    )


def _judge_level(report: Report, one: Measured, options: argparse.Namespace) -> None:
    for load in one.loads:
        if not load.is_level(options.max_rise):
            report.unfit.append(
                f"{one.side.name}, {load.clients} clients: the peak still rises after "
                f"{len(load.peaks)} slices; give it more (--slices, --seconds)"
            )


def _measure_pixels(image: EncodedImage) -> int:
    with Image.open(io.BytesIO(image.data)) as opened:
        return opened.width * opened.height


def _name_formats(images: Sequence[EncodedImage]) -> set[str]:
    found = set()
    for image in images:
        with Image.open(io.BytesIO(image.data)) as opened:
            found.add(str(opened.format))
    return found


def _join(counts: Sequence[int]) -> str:
    return " and ".join(str(count) for count in counts)


def _to_json(one: Measured) -> dict[str, Any]:
    breakdown = one.breakdown
    return {
        "side": one.side.name,
        "bundle": one.side.bundle.name,
        "no_model_bytes": one.no_model,
        "idle": asdict(one.idle),
        "usage": asdict(one.usage),
        "heavy": one.heavy,
        "mapped_weights_bytes": one.mapped_weights,
        "loads": [asdict(load) for load in one.loads],
        "peak_bytes": one.peak,
        "after_bytes": one.after,
        "breakdown": None if breakdown is None else asdict(breakdown),
        "parts": []
        if one.side.name != SLIM
        else [{"name": part.name, "rss_bytes": part.rss} for part in list_parts(one)],
    }
