"""Ours beside LiteRT's MobileNets of the same published accuracy, on every board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.bench.arm.boards import BOARDS
from runtime.bench.arm.cycles import CoreModel
from runtime.bench.arm.machine import Machine
from runtime.bench.arm.measure import run_network
from runtime.bench.exports import SIZE
from runtime.bench.interpreters import explain
from runtime.bench.peer_contestants import FLOAT, INT8, REFERENCE, check_answer
from runtime.bench.peer_networks import BINARY, INT8_SUFFIX, Export
from runtime.bench.peer_process import PeerProcess
from runtime.bundle import ONNX_GRAPH, Bundle
from runtime.engines.engine import load_engine
from runtime.engines.onnx_sessions import saturates
from runtime.errors import RuntimeFault
from runtime.measurement.inputs import make_images
from runtime.measurement.timing import Progress

NATIVE, LITERT = "native", "litert"


@dataclass(frozen=True)
class Contestant:
    """A network in the files of an engine, and what its logits are compared with."""

    network: str
    engine: str
    precision: str
    model: Path
    answer: np.ndarray[Any, Any]

    @property
    def name(self) -> str:
        return f"{self.network}: {self.engine} {self.precision}"

    def check(self, logits: np.ndarray[Any, Any]) -> None:
        """Ours must have the bits of this machine. Raises RuntimeFault for another answer."""
        if self.engine != NATIVE:
            check_answer(logits, self.answer, self.precision)
        elif not np.array_equal(logits, self.answer):
            raise RuntimeFault(
                "expected the logits that this machine's kernels give, bit for bit; found others. "
                "If the kernels have changed, install them first: make setup"
            )


def compare_networks(
    machine: Machine,
    export: Export,
    folder: Path,
    interpreters: Mapping[str, str],
    *,
    pairs: Sequence[tuple[str, str]],
    boards: Sequence[str],
    with_parts: bool,
    with_peers: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Figures of all networks on all boards; one that fails is among "not_measured".

    Raises RuntimeFault if one of ours cannot be exported.
    """
    rows: list[dict[str, Any]] = []
    missing: dict[str, str] = {}
    models = {board: CoreModel(machine.tools, BOARDS[board].model) for board in boards}
    for ours, theirs in pairs:
        contestants = open_ours(export, ours)
        if with_peers:
            try:
                graph = export(theirs).path / ONNX_GRAPH
                contestants += open_litert(theirs, graph, folder, interpreters, progress)
            except RuntimeFault as error:
                missing[f"{theirs}: {LITERT}"] = explain(LITERT, error)
        for board in boards:
            for one in contestants:
                progress(f"emulating a {BOARDS[board].name}: {one.name}")
                options = {"engine": one.engine, "model": str(one.model), "parts": with_parts}
                try:
                    figures, logits = run_network(machine, BOARDS[board], models[board], options)
                    one.check(logits)
                except RuntimeFault as error:
                    missing[f"{BOARDS[board].name}, {one.name}"] = str(error)
                    continue
                facts = {"network": one.network, "engine": one.engine, "precision": one.precision}
                rows.append({"board": board, **facts, **figures})
    return {
        "tools": dict(machine.tools.versions),
        "boards": {
            board: {"core": BOARDS[board].core, "model": BOARDS[board].model} for board in boards
        },
        "size": SIZE,
        "rows": rows,
        "not_measured": missing,
    }


def open_ours(export: Export, network: str) -> list[Contestant]:
    """With float layers in float32 and in 8 bits. Raises RuntimeFault."""
    bundles = {network: export(network), network + INT8_SUFFIX: export(network, float_layers=INT8)}
    return [
        Contestant(name, NATIVE, BINARY, bundle.path, _answer(bundle))
        for name, bundle in bundles.items()
    ]


def open_litert(
    network: str, graph: Path, folder: Path, interpreters: Mapping[str, str], progress: Progress
) -> list[Contestant]:
    """In float32 and in 8 bits, as for the other tables of the benchmark. Raises RuntimeFault."""
    progress(f"writing {network} for LiteRT")
    files = {FLOAT: folder / f"{network}.tflite", INT8: folder / f"{network}.int8.tflite"}
    options: dict[str, Any] = {"model": str(graph), "batch": 1, "out": str(files[FLOAT])}
    PeerProcess(interpreters[LITERT], "litert_convert_peer", options).close()
    options = {"model": str(files[FLOAT]), "out": str(files[INT8])}
    PeerProcess(interpreters[LITERT], "litert_quantize_peer", options).close()
    options = {"model": str(graph), "size": SIZE, "threads": 1, "batch": 1}
    options["saturates"] = saturates()
    with PeerProcess(interpreters[REFERENCE], f"{REFERENCE}_peer", options) as process:
        answer = np.array(process.facts["answer"])
    return [Contestant(network, LITERT, kind, path, answer) for kind, path in files.items()]


def _answer(bundle: Bundle) -> np.ndarray[Any, Any]:
    return load_engine(bundle, NATIVE, 1).predict(make_images(bundle, 1))
