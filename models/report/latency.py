"""Latency of the networks of training runs, in turns, by the engine that serves them.

Time does not depend on the weights, so each network is exported once with random ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch

from models.errors import DataError
from models.export.bundle import ExportOptions, Source, export_bundle
from models.networks.registry import build_network
from models.records.record import Record
from models.records.typed_json import Finite, as_json, parse_json
from runtime import Bundle, Manifest
from runtime.engines.engine import load_engine
from runtime.measurement.inputs import make_images
from runtime.measurement.machine import describe_machine, pinned, show_progress
from runtime.measurement.timing import Timer, summarize, take_turns, time_calls

FORMAT: Literal[1] = 1


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds of a network by the engine that serves it."""

    engine: str
    median_ms: Finite
    p10_ms: Finite
    p90_ms: Finite
    fastest_ms: Finite
    runs: int


@dataclass(frozen=True, kw_only=True)
class Latencies:
    """Of networks by key_of, all on one machine, as runtime.measurement.machine describes it."""

    format: Literal[1] = FORMAT
    machine: dict[str, Any]
    threads: int
    networks: dict[str, Latency]

    def find(self, record: Record) -> Latency | None:
        """That of a run's network, if it was measured."""
        return self.networks.get(key_of(record))


def key_of(record: Record) -> str:
    """Runs with equal keys take the same time."""
    changes = [f"{k}={v}" for k, v in sorted(record.changes.items()) if k != "shift"]
    side, classes = record.preprocessing.crop, len(record.data.classes)
    return " ".join([record.network, f"{side}px", f"{classes}c", *changes])


def key_of_bundle(manifest: Manifest) -> str:
    """Of a network as it is served, perhaps in 8 bits."""
    return f"{manifest.name} {manifest.preprocessing.crop}px {manifest.classes}c, as served"


def is_served(record: Record) -> bool:
    """Whether an engine runs it: none runs the full-precision reference of a binary network."""
    return bool(record.changes.get("binary", True))


def measure_latencies(
    records: Sequence[Record], runs: int = 60, bundles: Sequence[Bundle] = ()
) -> Latencies:
    """Batch 1, one thread, all networks in turns; of records with random weights."""
    timers: dict[str, Timer] = {}
    engines: dict[str, str] = {}
    with TemporaryDirectory(prefix="bnn-latency-") as folder, pinned(1):
        for record in records:
            key = key_of(record)
            if key in timers or not is_served(record):
                continue
            show_progress(f"exporting {key}")
            bundle = _export(record, Path(folder) / str(len(timers)))
            timers[key], engines[key] = _time(bundle)
        for bundle in bundles:
            key = key_of_bundle(bundle.manifest)
            timers[key], engines[key] = _time(bundle)
        seconds, failures = take_turns(timers, runs, show_progress)
    if failures:
        raise DataError("; ".join(failures.values()))
    networks = {key: _summarize(engines[key], times) for key, times in seconds.items()}
    return Latencies(machine=describe_machine(), threads=1, networks=networks)


def _time(bundle: Bundle) -> tuple[Timer, str]:
    """One image by the engine that serves it, and that engine's name."""
    engine = load_engine(bundle, "native" if bundle.manifest.plan else "onnx", 1)
    images = make_images(bundle, 1)
    return time_calls(lambda: engine.predict(images)), f"{engine.name}/{engine.implementation}"


def _summarize(engine: str, seconds: Sequence[float]) -> Latency:
    found = summarize(seconds)
    return Latency(
        engine=engine,
        median_ms=found["median_ms"],
        p10_ms=found["p10_ms"],
        p90_ms=found["p90_ms"],
        fastest_ms=found["fastest_ms"],
        runs=int(found["runs"]),
    )


def _export(record: Record, out: Path) -> Bundle:
    torch.manual_seed(0)
    labels = record.data.labels
    network = build_network(record.network, len(labels), **record.changes)
    source = Source(network, labels, record.preprocessing)
    return export_bundle(source, out, ExportOptions(parity_inputs=1))


def read_latencies(path: Path) -> Latencies:
    """Raises DataError for a file that write_latencies did not write."""
    expected, remedy = f"latencies, format {FORMAT}", "Measure them: models.report --measure."
    try:
        content = path.read_bytes()
    except OSError as error:
        found = "none" if isinstance(error, FileNotFoundError) else error.strerror
        raise DataError(f"{path}: expected {expected}; found {found}. {remedy}") from error
    return parse_json(Latencies, content, where=str(path), expected=expected, remedy=remedy)


def write_latencies(latencies: Latencies, path: Path) -> None:
    """Writes the file that read_latencies reads."""
    path.write_text(json.dumps(as_json(latencies), indent=1) + "\n", encoding="utf-8")
