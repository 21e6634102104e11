"""Peers on one network: its files in the format of each, and processes whose answers were compared.

A peer is timed only if it computes what ONNX Runtime computes with the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.bench.interpreters import explain
from runtime.bench.peer_process import PeerProcess
from runtime.engines.onnx_sessions import saturates
from runtime.errors import RuntimeFault
from runtime.measurement.timing import Progress, Timer

FLOAT, INT8 = "fp32", "int8"
REFERENCE = "onnxruntime"
PEERS = (REFERENCE, "openvino", "litert", "ncnn", "mnn")
# Root mean square of an answer's differences, by the deviation of ONNX Runtime's float32 logits:
# float32 differs by rounding, 8 bits by what random weights and ranges of noise make of them.
MAX_ERROR = {FLOAT: 1e-3, INT8: 0.5}
WITHOUT_INT8 = {
    "ncnn": "its quantizer (ncnn2table, ncnn2int8) is in no package",
    "mnn": "its quantizer (mnnquant) takes a folder of images and reports to its vendor",
}


class Lists:
    """Contestants by name, what is known of each, and why others are missing."""

    def __init__(self) -> None:
        self.timers: dict[str, Timer] = {}
        self.facts: dict[str, dict[str, Any]] = {}
        self.missing: dict[str, str] = {}

    def add(self, network: str, engine: str, precision: str, timer: Timer, **facts: Any) -> None:
        name = f"{network}: {engine} {precision}"
        self.timers[name] = timer
        self.facts[name] = {"network": network, "engine": engine, "precision": precision, **facts}


@dataclass(frozen=True)
class PeerSettings:
    """What holds for every peer of a run. Its folder is for files, interpreters are by peer."""

    folder: Path
    interpreters: Mapping[str, str]
    threads: int
    batch: int
    size: int
    progress: Progress


def add_peers(
    lists: Lists, stack: ExitStack, network: str, graph: Path, settings: PeerSettings
) -> None:
    """Starts every peer on an ONNX graph, float32 and 8 bits; lists.missing names those that fail.

    One process a model: threads of several sessions in one process wait for each other.
    """
    files = _write_files(lists, network, graph, settings)
    reference: np.ndarray[Any, Any] | None = None
    for precision in (FLOAT, INT8):
        for peer in PEERS:
            if precision == INT8 and peer in WITHOUT_INT8:
                lists.missing[f"{network}: {peer} {INT8}"] = WITHOUT_INT8[peer]
                continue
            model = files.get((peer, precision))
            if model is None:
                continue
            name = f"{network}: {peer} {precision}"
            settings.progress(f"starting {peer} on {network} {precision}")
            try:
                process = stack.enter_context(_start(peer, model, settings))
            except RuntimeFault as reason:
                lists.missing[name] = explain(peer, reason)
                continue
            try:
                facts = dict(process.facts)
                answer = np.array(facts.pop("answer"))
                if peer == REFERENCE and precision == FLOAT:
                    reference = answer
                error = check_answer(answer, reference, precision)
            except RuntimeFault as reason:
                lists.missing[name] = str(reason)
                continue
            timer = process.timer("predict")
            lists.add(network, peer, precision, timer, answer_error=error, **facts)


def check_answer(
    answer: np.ndarray[Any, Any], reference: np.ndarray[Any, Any] | None, precision: str
) -> float:
    """How far logits are from ONNX Runtime's, see MAX_ERROR. Raises RuntimeFault for too far."""
    if reference is None:
        raise RuntimeFault("expected ONNX Runtime's answer to compare with, found none")
    if answer.shape != reference.shape:
        raise RuntimeFault(f"expected logits {reference.shape}, found {answer.shape}")
    error = float(np.sqrt(np.mean((answer - reference) ** 2)) / reference.std())
    if not error <= MAX_ERROR[precision]:
        raise RuntimeFault(
            f"expected ONNX Runtime's answer within {MAX_ERROR[precision]:g} of its deviation, "
            f"found a difference of {error:.2g}"
        )
    return error


def _start(peer: str, model: Path, settings: PeerSettings) -> PeerProcess:
    options: dict[str, Any] = {"model": str(model), "size": settings.size}
    options |= {"threads": settings.threads, "batch": settings.batch}
    if peer == REFERENCE:
        options["saturates"] = saturates()
    return PeerProcess(settings.interpreters[peer], f"{peer}_peer", options)


def _write_files(
    lists: Lists, network: str, graph: Path, settings: PeerSettings
) -> dict[tuple[str, str], Path]:
    """The file of each peer and precision; only those whose converter works."""
    out = {
        "int8": settings.folder / f"{network}.int8.onnx",
        "litert": settings.folder / f"{network}.tflite",
        "litert int8": settings.folder / f"{network}.int8.tflite",
    }
    converted: dict[str, tuple[str, str, dict[str, Any]]] = {
        "int8": (REFERENCE, "quantize_peer", {"model": str(graph), "size": settings.size}),
        "litert": (
            *("litert", "litert_convert_peer"),
            {"model": str(graph), "batch": settings.batch},
        ),
        "litert int8": ("litert", "litert_quantize_peer", {"model": str(out["litert"])}),
    }
    made: dict[str, Path] = {}
    for name, (peer, module, options) in converted.items():
        if name == "litert int8" and "litert" not in made:
            continue  # its reason is there already
        settings.progress(f"writing {network} {name}")
        try:
            options = {**options, "out": str(out[name])}
            PeerProcess(settings.interpreters[peer], module, options).close()
        except RuntimeFault as error:
            lists.missing[f"{network} {name}"] = explain(peer, error)
        else:
            made[name] = out[name]
    files = {(peer, FLOAT): graph for peer in PEERS if peer != "litert"}
    for (peer, precision), name in {
        ("onnxruntime", INT8): "int8",
        ("openvino", INT8): "int8",
        ("litert", FLOAT): "litert",
        ("litert", INT8): "litert int8",
    }.items():
        if name in made:
            files[peer, precision] = made[name]
    return files
