"""A bundle's engines and full-precision reference as contestants, and the memory of each."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.bundle import Bundle
from runtime.engines.engine import ENGINES, load_engine
from runtime.errors import RuntimeFault
from runtime.kernels.parts import Floats
from runtime.measurement.inputs import make_images
from runtime.measurement.machine import environment_of_children

EAGER = "eager"  # float PyTorch, see runtime.engines.reference
BASELINE = "none"  # the interpreter with NumPy and the bundle, no engine
CONTESTANTS = (*ENGINES, EAGER)

Predict = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Contestant:
    """Something that predicts, and what it says of itself."""

    name: str
    implementation: str
    predict: Predict
    model_bytes: int
    workspace_bytes: int


def load_contestant(bundle: Bundle, name: str, threads: int) -> Contestant:
    """An engine by its name, or the full-precision reference as `eager`.

    Raises RuntimeFault, ImportError.
    """
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
        raise RuntimeFault(
            "only the ONNX graph describes this network: no full-precision reference to build"
        )
    from runtime.engines.reference import EagerNetwork  # imports torch

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
