"""What is compared: bundles in the service of this source tree, each in a process of its own."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from loadtests.clients.asking import ask_json
from loadtests.clients.http_client import Pool
from loadtests.errors import ServerFault, WrongUsage
from loadtests.servers.contestants import EVEN
from loadtests.servers.processes import Usage
from loadtests.servers.server import Server, ServerSpec, describe_this_service

MANIFEST, PACKED = "manifest.json", "packed.safetensors"
NATIVE, ONNX = "native", "onnx"


@dataclass(frozen=True)
class Case:
    """Bundles that are compared with each other; the first one is the one that is judged."""

    title: str
    bundles: Sequence[Path]
    whole: bool = True  # else CPU time, throughput and memory alone


def make_case(words: Sequence[str], whole: bool) -> Case:
    """TITLE BUNDLE BUNDLE...; raises WrongUsage."""
    title, *folders = words
    if len(folders) < 2:
        raise WrongUsage(
            f"case {title!r}: expected a title and two bundles or more to compare, found "
            f"{len(folders)}"
        )
    for folder in folders:
        if not (Path(folder) / MANIFEST).is_file():
            raise WrongUsage(
                f"case {title!r}: expected a bundle, found no {MANIFEST} in {folder}; python -m "
                "models.export and models.import_tflite write bundles"
            )
    return Case(title, [Path(folder).resolve() for folder in folders], whole)


def choose_engine(bundle: Path) -> str:
    """Binary networks run in the native engine, all others in ONNX Runtime."""
    return NATIVE if (bundle / PACKED).is_file() else ONNX


def describe_side(bundle: Path, extra: Mapping[str, str]) -> ServerSpec:
    """How the service is started with a bundle; everything else is the same for all."""
    engine = choose_engine(bundle)
    chosen = {"BNN_BUNDLE": str(bundle), "BNN_ENGINE": engine}
    spec = describe_this_service({**EVEN, "BNN_LOG_LEVEL": "warning", **extra, **chosen})
    return ServerSpec(f"{bundle.name}", spec.command, spec.folder, spec.environment)


@dataclass(frozen=True)
class Facts:
    """What a running service says of its model, and what the engine reads from the disk."""

    folder: str  # of the bundle: tells two bundles of one network apart
    name: str
    pixels: int
    engine: str
    model_bytes: int
    trained: bool
    eight_bit_parts: bool  # of a binary network: stem, transitions and head
    is_rough: bool  # its 8-bit ranges are of noise: good for time and memory alone
    labels: Sequence[str]
    record: str  # the accuracy that its manifest has, labelled as such

    @property
    def title(self) -> str:
        """As tables have it."""
        parts = ", 8-bit layers" if self.eight_bit_parts else ""
        untrained = "" if self.trained else ", untrained"
        return f"{self.name}, {self.pixels}x{self.pixels}{parts}{untrained}"


class Side:
    """A bundle that is served now: its process, its kept connections, its facts."""

    def __init__(self, bundle: Path, server: Server, start_seconds: float) -> None:
        self.bundle = bundle
        self.server = server
        self.pool = Pool(server.address)
        self.start_seconds = start_seconds
        self.start_cpu = server.read_cpu_seconds()
        self.idle: Usage = server.read_usage()
        self.facts = Facts("", "", 0, "", 0, False, False, False, (), "")

    async def read_facts(self) -> Self:
        """Asks the service what it serves. Raises ServerFault."""
        info = await asyncio.to_thread(ask_json, str(self.server.address), "/info")
        self.facts = read_facts(info, self.bundle.name)
        return self

    @property
    def name(self) -> str:
        """As tables have it."""
        return self.facts.title


def read_facts(info: Any, folder: str) -> Facts:
    """The facts out of the answer of /info, None if it was no JSON. Raises ServerFault."""
    try:
        model, engine = info["model"], info["engine"]
        quantization = model.get("quantization") or {}
        is_rough = quantization.get("calibration", {}).get("source") == "noise"
        facts = Facts(
            folder=folder,
            name=str(model["name"]),
            pixels=int(model["input"]["shape"][-1]),
            engine=f"{engine['name']}/{engine['implementation']}",
            model_bytes=int(engine["model_bytes"]),
            trained=bool(model["trained"]),
            eight_bit_parts=bool(quantization) and engine["name"] != ONNX,
            is_rough=is_rough and bool(model["trained"]),
            labels=tuple(model["labels"]),
            record="not measured: ranges of noise"
            if is_rough and model["trained"]
            else _read_record(model.get("training") or {}, bool(model["trained"])),
        )
    except (KeyError, TypeError, IndexError) as fault:
        raise ServerFault(
            f"expected /info with model and engine, found {json.dumps(info)[:300]}: no {fault}"
        ) from fault
    return facts


def _read_record(training: Mapping[str, Any], trained: bool) -> str:
    accuracy = training.get("accuracy")
    if isinstance(accuracy, Mapping) and "top1" in accuracy:
        return (
            f"{accuracy['top1']:.1f} % of {accuracy.get('images', '?')} images of its own "
            f"{accuracy.get('split', '')} split"
        )
    return "not measured" if trained else "none: random weights"
