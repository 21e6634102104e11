"""Report on whole networks: ours in turns with peers at the accuracy published for both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from runtime.bench.exports import SIZE
from runtime.bench.interpreters import explain
from runtime.bench.peer_contestants import Lists, PeerSettings, add_peers
from runtime.bench.peer_process import PeerProcess
from runtime.bundle import ONNX_GRAPH, SELF_TEST, Bundle
from runtime.engines.engine import load_engine
from runtime.errors import RuntimeFault
from runtime.kernels.parts import Window
from runtime.measurement.inputs import make_images
from runtime.measurement.machine import name_cpus, pinned
from runtime.measurement.timing import Progress, summarize, take_turns, time_calls
from runtime.plan import Plan, StageStep, StemStep, Step

# (ours, theirs): pairs that the MeliusNet paper makes by size and accuracy.
PAIRS = (
    ("meliusnetc", "mobilenet_v1_0.5"),
    ("meliusnet42", "mobilenet_v1_0.75"),
    ("meliusnet59", "mobilenet_v1"),
)
INT8_SUFFIX = ", 8-bit layers"  # ours with 8-bit stem, transitions and head
LARQ_NETWORK = "meliusnet22"
LARQ_VARIANT = f"{LARQ_NETWORK}, larq's variant"
BINARY = "binary"
LARQ_CALLS = ("indirect BGEMM, XNNPACK", "indirect BGEMM", "default")

Export = Callable[..., Bundle]  # name, and float_layers="int8"


def make_larq_variant(bundle: Bundle) -> Bundle:
    """The same weights as the network that larq-zoo calls MeliusNet22.

    Binary maps are padded with 0, the stem's first convolution at the bottom and right only, and
    its pool has a window of 2x2. Its answers are others: it has no self-test.
    """
    plan = Plan(tuple(map(_as_larq_has_it, bundle.manifest.plan)))
    files = {name: entry for name, entry in bundle.manifest.files.items() if name != SELF_TEST}
    manifest = replace(bundle.manifest, plan=plan, files=files)
    return Bundle(bundle.path, manifest)


def _as_larq_has_it(step: Step) -> Step:
    if isinstance(step, StageStep):
        return replace(step, padding=0)
    if isinstance(step, StemStep):
        first, *others = step.convolutions
        window = replace(first.window, padding_before=0, padding_after=1)
        convolutions = (replace(first, window=window), *others)
        return replace(step, convolutions=convolutions, pool=Window(2, 2))
    return step


def measure_peer_networks(
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
    """All networks and all peers in turns, everybody on the same CPUs.

    export writes an untrained network for 224 pixels. Raises RuntimeFault if one of ours fails; a
    peer that does is among "not_measured".
    """
    lists = Lists()
    with ExitStack() as stack:
        used = stack.enter_context(pinned(threads, cpus))
        _add_ours(lists, export, threads, batch)
        settings = PeerSettings(folder, interpreters, threads, batch, SIZE, progress)
        for _, theirs in PAIRS:
            add_peers(lists, stack, theirs, export(theirs).path / ONNX_GRAPH, settings)
        progress("starting larq-compute-engine (the first time it converts for a minute)")
        _add_larq(lists, stack, interpreters, threads, batch)
        seconds, failures = take_turns(lists.timers, runs, progress)
    rows = [{**lists.facts[name], **summarize(values)} for name, values in seconds.items()]
    return {
        "threads": threads,
        "batch": batch,
        "cpus": used,
        "rows": rows,
        "ratios": _compare(rows),
        "not_measured": {**lists.missing, **failures},
    }


def format_peer_networks(result: Mapping[str, Any]) -> str:
    """The tables of latencies and of ratios."""
    lines = [
        f"networks against peers, untrained (random weights), input 3x{SIZE}x{SIZE}, "
        f"batch {result['batch']}, threads {result['threads']}, {name_cpus(result['cpus'])}",
        f"  {'network':<28}{'engine':<38}{'':<8}{'median':>9}{'p10':>9}{'p90':>9}  ms",
    ]
    lines.extend(
        f"  {row['network']:<28}{row['engine']:<38}{row['precision']:<8}{row['median_ms']:>9.2f}"
        f"{row['p10_ms']:>9.2f}{row['p90_ms']:>9.2f}    {row['version']}"
        for row in result["rows"]
    )
    lines.extend(f"  {name} not measured: {why}" for name, why in result["not_measured"].items())
    if result["ratios"]:
        lines.append("times as fast as the peer (its median divided by ours)")
    for ratio in result["ratios"]:
        peer = ratio["peer_network"]
        against = f"{ratio['engine']} on {'the same' if peer == ratio['network'] else peer}"
        values = [f"{kind} {value:.2f}" for kind, value in ratio["times_as_fast"].items()]
        lines.append(
            f"  {ratio['network']:<28}{against:<46}"
            + "".join(f"{value:<13}" for value in values).rstrip()
        )
    return "\n".join(lines)


def _add_ours(lists: Lists, export: Export, threads: int, batch: int) -> None:
    for name in (*(ours for ours, _ in PAIRS), LARQ_NETWORK):
        bundle = export(name)
        variants = {name: bundle}
        if name == LARQ_NETWORK:
            variants[LARQ_VARIANT] = make_larq_variant(bundle)
        else:
            variants[name + INT8_SUFFIX] = export(name, float_layers="int8")
        for network, variant in variants.items():
            engine = load_engine(variant, "native", threads)
            images = make_images(variant, batch)
            lists.add(
                network,
                f"native/{engine.implementation}",
                BINARY,
                time_calls(lambda e=engine, x=images: e.predict(x)),  # type: ignore[misc]
                version="this build",
                model_bytes=engine.model_bytes,
            )


def _add_larq(
    lists: Lists,
    stack: ExitStack,
    interpreters: Mapping[str, str],
    threads: int,
    batch: int,
) -> None:
    if batch != 1:
        lists.missing["larq-compute-engine"] = "it runs one image at a time; measure with batch 1"
        return
    try:
        options = {"threads": threads}
        process = stack.enter_context(PeerProcess(interpreters["larq"], "larq_peer", options))
    except RuntimeFault as error:
        lists.missing["larq-compute-engine"] = explain("larq", error)
        return
    for call in LARQ_CALLS:
        engine = f"larq, {call}"
        lists.add(LARQ_VARIANT, engine, BINARY, process.timer(call), **process.facts)


def _compare(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every peer of each pair: how many times as fast ours is, by the peer's precision."""
    ours = {row["network"]: row for row in rows if row["engine"].startswith("native/")}
    ratios: dict[tuple[str, str], dict[str, Any]] = {}
    int8 = [(f"{network}{INT8_SUFFIX}", theirs) for network, theirs in PAIRS]
    for network, theirs in (*PAIRS, *int8, (LARQ_VARIANT, LARQ_VARIANT)):
        for row in rows:
            if network not in ours or row["network"] != theirs or row is ours.get(theirs):
                continue
            entry = {"network": network, "engine": row["engine"], "peer_network": theirs}
            ratio = ratios.setdefault((network, row["engine"]), entry | {"times_as_fast": {}})
            times_as_fast = row["median_ms"] / ours[network]["median_ms"]
            ratio["times_as_fast"][row["precision"]] = times_as_fast
    return list(ratios.values())
