"""Results of a comparison that nobody measured, for the tests of what is made from results."""

import argparse
import math
from pathlib import Path

from loadtests.clients.loops import GeneratorUse
from loadtests.clients.metrics import Histogram
from loadtests.clients.outcomes import Outcome
from loadtests.command_line.progress import Progress
from loadtests.comparison.accuracy import Accuracy
from loadtests.comparison.checks import OtherGenerator, OwnMetrics
from loadtests.comparison.material import Material
from loadtests.comparison.run import CaseRun, Result
from loadtests.comparison.sides import Case, Facts
from loadtests.comparison.turns import Search, Turn
from loadtests.comparison.wrk import WrkRun
from loadtests.servers.processes import Usage

OPTIONS = argparse.Namespace(
    clients=8, repeats=3, slo_ms=100.0, step_seconds=60.0, markdown=Path("out/comparison.md")
)


def make_turn(cpu_ms: float, latency: float = 0.02, count: int = 100) -> Turn:
    """A turn of `count` requests that were all answered."""
    outcomes = [Outcome(0, 0, latency * (1 + i / count), 200) for i in range(count)]
    return Turn(cpu_ms * count / 1000, outcomes, 1.0, GeneratorUse(0.1, 1.0))


def make_result(name: str, engine: str, cpu_ms: float, whole: bool = True) -> Result:
    """A side whose turns took about `cpu_ms` an image."""
    facts = Facts(
        *(f"folder-of-{name}", name, 160, engine, 2**20, True, False, False, ("cat",)),
        "86.0 % of its own",
    )
    result = Result(facts)
    result.starts, result.start_cpu = [0.5, 0.7, 0.6], [0.4, 0.4, 0.4]
    result.idle = [Usage(70 * 2**20, 71 * 2**20, 4, 17)] * 3
    result.peak = Usage(80 * 2**20, 85 * 2**20, 4, 17)
    result.closed = [make_turn(cpu_ms * factor) for factor in (0.9, 1.0, 1.1)]
    if whole:
        result.open, result.open_rate = [make_turn(cpu_ms, 0.01 * cpu_ms)] * 3, 50.0
        result.search = Search(100.0, 100.0)
        result.search.take(65.0, make_turn(cpu_ms, 0.03))
        result.search.take(82.5, make_turn(cpu_ms, 0.3))
        result.phone = [make_turn(20.0)] * 2
        histogram = Histogram([0.01, 0.05, math.inf], [0, 100, 100], 2.9)
        result.metrics = OwnMetrics(result.closed[0], result.closed[0].cpu, histogram)
        result.generator = OtherGenerator([result.closed[0]], WrkRun(101, 1.0, 0, 20, 30))
    return result


def make_run(whole: bool = True, measured: bool = False, title: str = "Ours & theirs") -> CaseRun:
    """A case of two sides; the second one needs half of the CPU time."""
    case = Case(title, [Path("ours"), Path("theirs")], whole)
    run = CaseRun(case, OPTIONS, {}, Material((), ()), Progress())
    run.results = [
        make_result("meliusnet13", "native/avx2", 4.0, whole),
        make_result("mobilenet_v1", "onnx/cpu", 2.0, whole),
    ]
    if measured:
        run.results[0].accuracy = Accuracy(200, 170, 190, 0)
    return run
