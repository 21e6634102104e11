"""Latency of the networks of training runs, in turns, by the engine that serves them.

Time does not depend on the weights: each network is exported once with random ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from models.errors import DataError
from models.export.bundle import export_bundle
from models.networks.registry import build_network
from runtime.engines.engine import load_engine
from runtime.images import Preprocessing
from runtime.measurement.inputs import make_images
from runtime.measurement.machine import describe_machine, pinned, show_progress
from runtime.measurement.timing import Timer, summarize, take_turns, time_calls

FORMAT = 1


def key_of(record: Mapping[str, Any]) -> str:
    """Runs with equal keys take the same time."""
    changes = [f"{k}={v}" for k, v in sorted(record["changes"].items()) if k != "shift"]
    side, classes = record["preprocessing"]["crop"], len(record["data"]["classes"])
    return " ".join([record["network"], f"{side}px", f"{classes}c", *changes])


def is_served(record: Mapping[str, Any]) -> bool:
    """Whether an engine runs it: none runs the float twin of a binary network."""
    return bool(record["changes"].get("binary", True))


def measure_latencies(records: Sequence[Mapping[str, Any]], runs: int = 60) -> dict[str, Any]:
    """{"machine", "threads", "networks": key -> engine and milliseconds}, batch 1, one thread."""
    timers: dict[str, Timer] = {}
    engines: dict[str, str] = {}
    with TemporaryDirectory(prefix="bnn-latency-") as folder, pinned(1):
        for record in records:
            key = key_of(record)
            if key in timers or not is_served(record):
                continue
            show_progress(f"exporting {key}")
            bundle = _export(record, Path(folder) / str(len(timers)))
            name = "native" if bundle.manifest.plan else "onnx"
            engine = load_engine(bundle, name, 1)
            images = make_images(bundle, 1)
            timers[key] = time_calls(lambda e=engine, x=images: e.predict(x))  # type: ignore[misc]
            engines[key] = f"{engine.name}/{engine.implementation}"
        seconds, failures = take_turns(timers, runs, show_progress)
    if failures:
        raise DataError("; ".join(failures.values()))
    return {
        "format": FORMAT,
        "machine": describe_machine(),
        "threads": 1,
        "networks": {k: {"engine": engines[k], **summarize(v)} for k, v in seconds.items()},
    }


def _export(record: Mapping[str, Any], out: Path) -> Any:
    torch.manual_seed(0)
    classes = [str(name) for name in record["data"]["labels"]]
    network = build_network(record["network"], len(classes), **record["changes"])
    preprocessing = Preprocessing(**record["preprocessing"])
    return export_bundle(network, out, classes, preprocessing, None, parity_count=1)


def read_latencies(path: Path) -> dict[str, Any]:
    """Raises DataError for a file that write_latencies did not write."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected latencies as --measure writes them: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f"{path}: expected latencies, format {FORMAT}; found other JSON")
    return content


def write_latencies(content: Mapping[str, Any], path: Path) -> None:
    """Writes the file that read_latencies reads."""
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
