"""Turns of load on services that run side by side: closed loops, open loops, rates at a target."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from loadtests.clients.loops import (
    ClosedRun,
    GeneratorUse,
    Lag,
    judge_cpu,
    plan_arrivals,
    run_closed_loop,
    run_open_loop,
    spare_collector,
)
from loadtests.clients.outcomes import Outcome, attempt, count_labels, select
from loadtests.comparison.sides import Side
from loadtests.errors import ServerFault
from loadtests.output.figures import measure_latencies, pick

GIVE_UP_SECONDS = 30.0
MAX_LAG_MS = 20.0
WITHIN = 0.99  # share of requests answered in time that a rate needs to hold
MIN_SHARE, MAX_SHARE = 0.3, 1.0  # of the closed loop's rate: where the search for it looks


@dataclass
class Turn:
    """One turn: CPU seconds of the server, and the outcomes of the requests."""

    cpu: float
    outcomes: list[Outcome]
    seconds: float
    generator: GeneratorUse
    lag_reasons: list[str] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """Answers with status 200."""
        return len(select(self.outcomes, 200))

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds of the server, an image."""
        return self.cpu / self.answered * 1000

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.answered / self.seconds


async def take_closed_turn(
    side: Side, bodies: Sequence[bytes], clients: int, seconds: float, warm_up: float
) -> Turn:
    """Clients that wait for their answers; the warm-up before it does not count.

    Raises ServerFault if an answer is not 200.
    """
    side.pool.close()  # it has been idle: the server may be about to close what is open
    if warm_up:
        await run_closed_loop(side.pool, bodies, clients, warm_up)
    before = side.server.read_cpu_seconds()
    run: ClosedRun = await run_closed_loop(side.pool, bodies, clients, seconds)
    cpu = side.server.read_cpu_seconds() - before
    labels = count_labels(run.outcomes)
    if list(labels) != ["200"]:
        raise ServerFault(f"{side.name}: expected 200 for every request, found {labels}")
    return Turn(cpu, run.outcomes, run.seconds, run.generator)


async def take_open_turn(
    side: Side, bodies: Sequence[bytes], rate: float, seconds: float, warm_up: float, seed: int
) -> Turn:
    """Requests at the times of a Poisson process, `rate` a second, without waiting for answers.

    What comes in the warm-up does not count. Latencies are from the time that a request was due.
    """
    outcomes: list[Outcome] = []
    cycle = itertools.cycle(bodies)

    async def fire(due: float) -> None:
        outcomes.append(await attempt(side.pool, next(cycle), due, GIVE_UP_SECONDS))

    side.pool.close()
    if warm_up:
        await run_open_loop(fire, plan_arrivals(rate, warm_up, seed + 1))
        outcomes.clear()
    with spare_collector():
        before = side.server.read_cpu_seconds()
        lag: Lag = await run_open_loop(fire, plan_arrivals(rate, seconds, seed))
        cpu = side.server.read_cpu_seconds() - before
    reasons = lag.judge(MAX_LAG_MS) if lag.seconds else []
    if not select(outcomes, 200):
        raise ServerFault(f"{side.name}: expected answers at {rate:.1f}/s, found none")
    return Turn(cpu, outcomes, seconds, lag.generator, reasons)


@dataclass(frozen=True)
class Step:
    """One rate that was tried: how many came in time, and what the slow ones took."""

    rate: float  # requests a second, offered
    in_time: float  # share of all requests that were answered 200 within the target
    p50_ms: float
    p99_ms: float  # of the answers with status 200

    @property
    def holds(self) -> bool:
        """Whether enough of them came in time."""
        return self.in_time >= WITHIN


@dataclass
class Search:
    """Looks for the highest rate that holds, by halving; one step at a time: sides take turns."""

    closed_rate: float  # images a second of the closed loop
    target_ms: float
    steps: list[Step] = field(default_factory=list)

    @property
    def next_rate(self) -> float:
        """Half-way between the highest rate that held and the lowest that did not."""
        low = max((s.rate for s in self.steps if s.holds), default=MIN_SHARE * self.closed_rate)
        high = min(
            (s.rate for s in self.steps if not s.holds), default=MAX_SHARE * self.closed_rate
        )
        return (low + high) / 2

    @property
    def best(self) -> Step | None:
        """The highest rate that held; None if none of those tried did."""
        held = [step for step in self.steps if step.holds]
        return max(held, key=lambda step: step.rate, default=None)

    def take(self, rate: float, turn: Turn) -> None:
        """Adds what a turn at this rate has shown."""
        limit = self.target_ms / 1000
        good = sum(o.status == 200 and o.latency <= limit for o in turn.outcomes)
        found = measure_latencies(o.latency for o in select(turn.outcomes, 200))
        share = good / len(turn.outcomes)
        self.steps.append(Step(rate, share, found.p50_ms, found.p99_ms))


def judge_turn(turn: Turn) -> list[str]:
    """Why the generator was the limit in a turn; empty if it was not."""
    return turn.lag_reasons or judge_cpu(turn.generator)


def find_percentiles(turns: Sequence[Turn], shares: Sequence[float]) -> list[float]:
    """Milliseconds from the time requests were due, of all answered requests of the turns."""
    ordered = sorted(o.latency * 1000 for turn in turns for o in select(turn.outcomes, 200))
    return [pick(ordered, share) for share in shares] if ordered else []
