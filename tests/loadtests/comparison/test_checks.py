"""Cross-checks: what agrees, and what is called a difference."""

import math

import pytest

from loadtests.clients.loops import GeneratorUse
from loadtests.clients.metrics import Histogram
from loadtests.clients.outcomes import Outcome
from loadtests.comparison.checks import (
    OtherGenerator,
    OwnMetrics,
    check_metrics,
    judge_generator,
    judge_metrics,
)
from loadtests.comparison.turns import Turn
from loadtests.comparison.wrk import WrkRun
from loadtests.errors import ServerFault
from tests.loadtests.comparison.test_turns import BODIES, make_side
from tests.loadtests.local_server import answer_all, serve


def make_turn(count: int = 100, latency: float = 0.02, cpu: float = 1.0) -> Turn:
    outcomes = [Outcome(0, 0, latency, 200)] * count
    return Turn(cpu, outcomes, 1.0, GeneratorUse())


def make_metrics(count: int = 100, mean: float = 0.019, cpu: float = 1.01) -> OwnMetrics:
    histogram = Histogram([0.01, math.inf], [0, count], mean * count)
    return OwnMetrics(make_turn(), cpu, histogram)


def test_figures_that_agree() -> None:
    found = make_metrics()
    assert found.client_mean_ms == pytest.approx(20)
    assert found.service_mean_ms == pytest.approx(19)
    assert found.client.p99_ms == pytest.approx(20)
    checks = judge_metrics("net", found)
    assert [check.held for check in checks] == [True, True, True]
    assert all(check.name.startswith("net: ") for check in checks)


@pytest.mark.parametrize(
    ("metrics", "held"),
    [
        (make_metrics(count=99), [False, True, True]),
        (make_metrics(cpu=1.2), [True, False, True]),
        (make_metrics(cpu=0.8), [True, False, True]),
        (make_metrics(mean=0.01), [True, True, False]),  # half of it is not seen by the service
        (make_metrics(mean=0.021), [True, True, False]),  # longer than the client waited
    ],
)
def test_each_difference_is_told(metrics: OwnMetrics, held: list[bool]) -> None:
    assert [check.held for check in judge_metrics("net", metrics)] == held


@pytest.mark.parametrize(
    ("rate", "failed", "held"),
    [
        (104, 0, [True, True]),
        (80, 0, [False, True]),
        (120, 0, [False, True]),
        (100, 1, [True, False]),
    ],
)
def test_generators_agree_or_not(rate: int, failed: int, held: list[bool]) -> None:
    found = OtherGenerator([make_turn(90), make_turn(110)], WrkRun(rate, 1.0, failed, 20, 30))
    assert found.own_rate == 100
    assert found.own_latencies.count == 200
    assert [check.held for check in judge_generator("net", found)] == held


@pytest.mark.anyio
async def test_a_service_without_metrics_is_a_fault() -> None:
    async with serve(answer_all) as seen, make_side(seen.address) as side:
        side.server.address = seen.address
        with pytest.raises(ServerFault, match="expected process_cpu_seconds_total in http"):
            await check_metrics(side, BODIES, 1, 0.01)
