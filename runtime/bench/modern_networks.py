"""Report on networks that a user would pick today: MobileNetV3 and V4 in every peer, beside ours.

They are no pairs: each is faster and more accurate, by published figures, than ours of its size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from runtime.bench.exports import SIZE
from runtime.bench.mobile_graphs import SPECS, build_mobile_graph
from runtime.bench.peer_contestants import Lists, PeerSettings, add_peers
from runtime.bundle import Bundle
from runtime.engines.engine import load_engine
from runtime.errors import RuntimeFault
from runtime.measurement.inputs import make_images
from runtime.measurement.machine import name_cpus, pinned
from runtime.measurement.timing import Progress, summarize, take_turns, time_calls

OURS = ("meliusnetc", "meliusnet22", "meliusnet42", "meliusnet59")
BINARY = "binary"

# Top-1 on ImageNet in percent as published, and where. Nobody has trained ours on ImageNet with
# this code.
AUTHORS = "the authors' training logs"
PUBLISHED: dict[str, tuple[float, str]] = {
    "meliusnetc": (64.1, AUTHORS),
    "meliusnet22": (63.6, f"{AUTHORS}; larq-zoo's replication 62.4"),
    "meliusnet42": (69.2, AUTHORS),
    "meliusnet59": (70.7, AUTHORS),
    "mobilenet_v1_0.5": (63.7, "arXiv 1704.04861"),
    "mobilenet_v1_0.75": (68.4, "arXiv 1704.04861"),
    "mobilenet_v1": (70.6, "arXiv 1704.04861"),
    "mobilenet_v3_small": (67.4, "arXiv 1905.02244"),
    "mobilenet_v3_large": (75.2, "arXiv 1905.02244"),
    "mobilenet_v4_conv_small_0.5": (64.8, "timm, mobilenetv4_conv_small_050.e3000_r224_in1k"),
    "mobilenet_v4_conv_small": (73.8, "arXiv 2404.10518"),
}

Export = Callable[..., Bundle]


def measure_modern_networks(
    export: Export,
    folder: Path,
    interpreters: Mapping[str, str],
    *,
    threads: int,
    batch: int,
    runs: int,
    cpus: Sequence[int],
    progress: Progress,
) -> dict[str, Any]:
    """Ours and all peers in turns on the same CPUs, network after network of theirs.

    "rows" have the keys of runtime.bench.peer_networks and "among", the network of theirs that a
    row took turns with. Raises RuntimeFault if one of ours fails; a peer that does is among
    "not_measured".
    """
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    with pinned(threads, cpus) as used:
        ours = {name: export(name) for name in OURS}
        for name in SPECS:
            lists = Lists()
            for network, bundle in ours.items():
                engine = load_engine(bundle, "native", threads)
                images = make_images(bundle, batch)
                lists.add(
                    network,
                    f"native/{engine.implementation}",
                    BINARY,
                    time_calls(lambda e=engine, x=images: e.predict(x)),  # type: ignore[misc]
                    version="this build",
                )
            settings = PeerSettings(folder, interpreters, threads, batch, SIZE, progress)
            with ExitStack() as stack:
                add_peers(lists, stack, name, _write_graph(folder, name), settings)
                seconds, failures = take_turns(lists.timers, runs, progress)
            rows += [
                {**lists.facts[contestant], **summarize(values), "among": name}
                for contestant, values in seconds.items()
            ]
            missing |= lists.missing | failures
    return {
        "threads": threads,
        "batch": batch,
        "cpus": used,
        "rows": rows,
        "not_measured": missing,
    }


def format_modern_networks(result: Mapping[str, Any]) -> str:
    """The table of latencies."""
    lines = [
        f"networks of today, untrained (random weights), input 3x{SIZE}x{SIZE}, batch "
        f"{result['batch']}, threads {result['threads']}, {name_cpus(result['cpus'])}; "
        "top-1: published, on ImageNet",
        f"  {'network':<28}{'top-1':>6}  {'engine':<16}{'':<8}{'median':>9}{'p10':>9}{'p90':>9}"
        "  ms",
    ]
    for row in result["rows"]:
        error = f", differs by {row['answer_error']:.1g}" if "answer_error" in row else ""
        lines.append(
            f"  {row['network']:<28}{PUBLISHED[row['network']][0]:>6}  {row['engine']:<16}"
            f"{row['precision']:<8}{row['median_ms']:>9.2f}{row['p10_ms']:>9.2f}"
            f"{row['p90_ms']:>9.2f}    {row['version']}{error}"
        )
    lines.extend(f"  {name} not measured: {why}" for name, why in result["not_measured"].items())
    return "\n".join(lines)


def _write_graph(folder: Path, name: str) -> Path:
    """The ONNX file. Raises RuntimeFault where the package onnx is missing."""
    path = folder / f"{name}.onnx"
    try:
        path.write_bytes(build_mobile_graph(name, SIZE).SerializeToString())
    except ImportError as error:
        raise RuntimeFault(
            f"expected the package onnx to write {name}, found {error}. Install it: make setup"
        ) from error
    return path
