"""What runtime.bench measures: latency in turns, parts, peak memory, equality of kernels."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from runtime import library
from runtime.bundle import Bundle
from runtime.engine import ENGINES, load_engine
from runtime.errors import RuntimeFault
from runtime.parts import Floats
from runtime.prepare import prepare_bundle

EAGER = "eager"  # float PyTorch, see runtime.reference
BASELINE = "none"  # the interpreter with NumPy and the bundle, no engine
CONTESTANTS = (*ENGINES, EAGER)
RUNS_PER_TURN = 3  # timed, after one that is not

Predict = Callable[[Floats], Floats]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Contestant:
    """Something that predicts, and what it says of itself."""

    name: str
    implementation: str
    predict: Predict
    model_bytes: int
    workspace_bytes: int


def make_images(bundle: Bundle, batch: int, seed: int = 0) -> Floats:
    """Seeded noise, float32 [batch, 3, H, W]: packed code takes the same time for any values."""
    noise = np.random.default_rng(seed).standard_normal((batch, *bundle.manifest.input))
    return noise.astype(np.float32)


def load_contestant(bundle: Bundle, name: str, threads: int) -> Contestant:
    """An engine by its name, or the float twin as `eager`. Raises RuntimeFault, ImportError."""
    if name != EAGER:
        engine = load_engine(bundle, name, threads)
        return Contestant(
            name,
            engine.implementation,
            engine.predict,
            engine.model_bytes,
            engine.workspace_bytes,
        )
    if not bundle.manifest.plan:
        raise RuntimeFault("only the ONNX graph describes this network: no float twin to build")
    from runtime.reference import EagerNetwork  # imports torch

    twin = EagerNetwork(bundle, threads)
    return Contestant(EAGER, "float32", twin.predict, 0, 0)


def load_contestants(
    bundle: Bundle, names: Sequence[str], threads: int
) -> tuple[list[Contestant], dict[str, str]]:
    """The ones that work here, and the reason for each that does not."""
    contestants, missing = [], {}
    for name in names:
        try:
            contestants.append(load_contestant(bundle, name, threads))
        except (RuntimeFault, ImportError) as error:
            missing[name] = str(error)
    return contestants, missing


def summarize(seconds: Sequence[float]) -> dict[str, float | int]:
    """Median and spread in milliseconds."""
    milliseconds = 1000 * np.asarray(seconds)
    low, median, high = np.percentile(milliseconds, [10, 50, 90])
    return {
        "median_ms": float(median),
        "p10_ms": float(low),
        "p90_ms": float(high),
        "fastest_ms": float(milliseconds.min()),
        "runs": len(seconds),
    }


def measure_latency(
    contestants: Sequence[Contestant], images: Floats, runs: int, progress: Progress
) -> dict[str, dict[str, float | int]]:
    """Latency of predict, in turns, so that a change of clock or load meets all of them.

    In its turn each one runs once untimed, so that it finds its own weights in the cache, then
    RUNS_PER_TURN times.
    """
    seconds: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    turns = -(-runs // RUNS_PER_TURN)
    for turn in range(turns):
        for contestant in contestants:
            progress(f"turn {turn + 1} of {turns}: {contestant.name}")
            contestant.predict(images)
            for _ in range(RUNS_PER_TURN):
                start = time.perf_counter()
                contestant.predict(images)
                seconds[contestant.name].append(time.perf_counter() - start)
    return {name: summarize(values) for name, values in seconds.items()}


def measure_parts(
    bundle: Bundle, batch: int, runs: int, eager: bool, progress: Progress
) -> list[dict[str, Any]]:
    """Milliseconds of each part of the plan on one thread, in the order of execution, in turns.

    Each part is timed within a pass through the whole network, so that it finds the caches as it
    would. `eager`: the float twin's parts too.
    """
    prepared = prepare_bundle(bundle)
    infos = [library.describe_part(part) for part in prepared]
    workspace = library.allocate(max(info.workspace_bytes for info in infos))
    results = [np.empty((batch, *step["output"]), np.float32) for step in bundle.manifest.plan]
    passes: dict[str, Callable[[int, Floats], Floats]] = {
        "native": lambda index, x: library.run_part(prepared[index], x, workspace, results[index])
    }
    if eager:
        from runtime.reference import EagerNetwork

        passes[EAGER] = EagerNetwork(bundle, 1).run_part
    seconds: dict[str, list[list[float]]] = {name: [[] for _ in prepared] for name in passes}
    images = make_images(bundle, batch)
    for turn in range(runs + 1):
        for name, run in passes.items():
            progress(f"parts, turn {turn + 1} of {runs + 1}: {name}")
            x = images
            for index in range(len(prepared)):
                start = time.perf_counter()
                x = run(index, x)
                if turn:  # the first is not counted
                    seconds[name][index].append(time.perf_counter() - start)
    return [
        {
            "name": step["name"],
            "part": step["part"],
            "kernels": sorted({layer["kernel"] for layer in library.report_part(part)}),
            **{f"{name}_ms": summarize(seconds[name][i])["median_ms"] for name in passes},
        }
        for i, (step, part) in enumerate(zip(bundle.manifest.plan, prepared, strict=True))
    ]


def compare_implementations(bundle: Bundle, batch: int = 2) -> list[dict[str, Any]]:
    """Every implementation that this CPU runs against generic, part by part, bit for bit.

    One entry per implementation and part: "implementation", "part", "values", "different" (how many
    of them) and "worst" (by how much at most). The implementation active before stays active.
    """
    before = library.active()
    names = [item.name for item in library.implementations() if item.supported]
    outcome: list[dict[str, Any]] = []
    try:
        library.select("generic")
        inputs, outputs = [make_images(bundle, batch)], []
        for part in prepare_bundle(bundle):
            outputs.append(library.run_part(part, inputs[-1]))
            inputs.append(outputs[-1])
        for name in names:
            library.select(name)
            parts = prepare_bundle(bundle)
            for step, part, x, expected in zip(
                bundle.manifest.plan, parts, inputs[:-1], outputs, strict=True
            ):
                found = library.run_part(part, x)
                different = found.view(np.uint32) != expected.view(np.uint32)
                outcome.append(
                    {
                        "implementation": name,
                        "part": step["name"],
                        "values": found.size,
                        "different": int(different.sum()),
                        "worst": float(np.abs(found - expected).max()),
                    }
                )
    finally:
        library.select(before)
    return outcome


# ---- memory: every contestant in a fresh process ------------------------------------------------


def read_peak_memory() -> int:
    """Bytes of the largest resident set this process has had."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    import resource  # where there is no /proc: bytes on macOS

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def run_alone(bundle: Bundle, name: str, threads: int, batch: int) -> dict[str, int]:
    """Loads one contestant (or none) in this process, predicts three times, reads the peak."""
    if name != BASELINE:
        contestant = load_contestant(bundle, name, threads)
        for _ in range(3):
            contestant.predict(make_images(bundle, batch))
    return {"peak_memory_bytes": read_peak_memory()}


def measure_memory(bundle: Bundle, name: str, threads: int, batch: int) -> int:
    """Peak memory in bytes of a fresh process that does run_alone. Raises RuntimeFault."""
    command = [sys.executable, "-m", "runtime.bench", "--alone", name, "--bundle"]
    command += [str(bundle.path), "--threads", str(threads), "--batch", str(batch)]
    answer = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment_of_children()
    )
    if answer.returncode:
        raise RuntimeFault(f"measuring the memory of {name} failed: {answer.stderr.strip()}")
    return int(json.loads(answer.stdout)["peak_memory_bytes"])


def environment_of_children() -> dict[str, str]:
    """The environment in which a child process finds the packages that this process uses."""
    root = str(Path(__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


# ---- the machine ---------------------------------------------------------------------------------


def describe_machine() -> dict[str, Any]:
    """CPU, cores, system and versions: without them a latency means nothing."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "cores_allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": _versions("numpy", "torch", "onnxruntime"),
    }


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    fields: Mapping[str, str] = {}
    if cpuinfo.is_file():
        pairs = (line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
        fields = {key.strip(): value.strip() for key, value in pairs}
    return fields.get("model name") or fields.get("Model") or platform.processor() or "unknown"


def _versions(*packages: str) -> dict[str, str]:
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
