"""Runs a case: starts all its services on the same CPUs, and loads them in turns, A B B A."""

import argparse
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from loadtests.command_line.progress import Progress
from loadtests.comparison.accuracy import Accuracy, measure_accuracy
from loadtests.comparison.checks import (
    OtherGenerator,
    OwnMetrics,
    check_generator,
    check_metrics,
)
from loadtests.comparison.material import Material
from loadtests.comparison.sides import Case, Facts, Side, describe_side
from loadtests.comparison.turns import Search, Turn, judge_turn, take_closed_turn, take_open_turn
from loadtests.comparison.wrk import is_installed
from loadtests.errors import WrongUsage
from loadtests.output.figures import find_median
from loadtests.servers.processes import Usage
from loadtests.servers.server import Server

PHONE_CLIENTS = 2
OPEN_SHARE = 0.5  # of the slowest side's best rate: the same load for all


@dataclass
class Result:
    """Everything that was measured of one side; the n-th turns of all sides are of one round."""

    facts: Facts
    starts: list[float] = field(default_factory=list)  # seconds until it was ready
    start_cpu: list[float] = field(default_factory=list)
    idle: list[Usage] = field(default_factory=list)
    closed: list[Turn] = field(default_factory=list)
    open: list[Turn] = field(default_factory=list)
    open_rate: float = 0.0
    search: Search | None = None
    phone: list[Turn] = field(default_factory=list)
    peak: Usage | None = None
    metrics: OwnMetrics | None = None
    generator: OtherGenerator | None = None
    accuracy: Accuracy | None = None


class CaseRun:
    """One case; `unfit` has why its figures mean nothing, if they don't."""

    def __init__(
        self,
        case: Case,
        options: argparse.Namespace,
        environment: dict[str, str],
        material: Material,
        progress: Progress,
    ) -> None:
        self.case = case
        self.results: list[Result] = []
        self.unfit: list[str] = []
        self._options, self._environment = options, environment
        self._material, self._progress = material, progress
        self._sides: list[Side] = []

    async def run(self) -> None:
        """Measures everything. Raises ServerFault."""
        options = self._options
        for _ in range(options.starts - 1):
            with contextlib.ExitStack() as running:
                await self._start(running)
        with contextlib.ExitStack() as running:
            await self._start(running)
            self._check_labels()
            await self._measure_closed()
            if self.case.whole:
                await self._measure_open()
                await self._search_rates()
                await self._measure_phone()
                await self._cross_check()
            for side, result in zip(self._sides, self.results, strict=True):
                result.peak = side.server.read_usage()
            for side, result in zip(self._sides, self.results, strict=True):
                if self._material.labelled and not side.facts.is_rough:
                    result.accuracy = await measure_accuracy(
                        side, self._material.labelled, self._progress
                    )

    async def _start(self, running: contextlib.ExitStack) -> None:
        """Starts the sides one after the other: each start has the CPUs for itself."""
        self._sides = []
        for index, bundle in enumerate(self.case.bundles):
            self._progress.show(f"{self.case.title}: starting {bundle.name}")
            spec = describe_side(bundle, self._environment)
            server = running.enter_context(Server(spec, self._options.server_cpus))
            side = await Side(bundle, server, await server.wait_until_ready()).read_facts()
            running.callback(side.pool.close)
            self._sides.append(side)
            if index == len(self.results):
                self.results.append(Result(side.facts))
            result = self.results[index]
            result.starts.append(side.start_seconds)
            result.start_cpu.append(side.start_cpu)
            result.idle.append(side.idle)

    def _check_labels(self) -> None:
        """Labels that no trained model of the case knows are a mistake. Raises WrongUsage."""
        wanted = {file.label for file in self._material.labelled}
        trained = [side.facts for side in self._sides if side.facts.trained]
        if not trained or any(wanted <= set(facts.labels) for facts in trained):
            return
        unknown = sorted(wanted - set(trained[0].labels)) or sorted(wanted)
        raise WrongUsage(
            f"--data: expected folders named like labels of {trained[0].name} "
            f"({', '.join(trained[0].labels[:5])}, ...), found {', '.join(unknown[:5])}"
        )

    async def _in_turns(
        self,
        what: str,
        take: Callable[[Side, Result, int], Coroutine[Any, Any, Turn | None]],
        rounds: int,
    ) -> None:
        """Every side has one turn in each round; every other round goes backwards."""
        pairs = list(zip(self._sides, self.results, strict=True))
        for number in range(rounds):
            for side, result in pairs if number % 2 == 0 else reversed(pairs):
                self._progress.show(
                    f"{self.case.title}: {what}, round {number + 1}/{rounds}, {side.name}"
                )
                turn = await take(side, result, number)
                if turn is not None:
                    self.unfit += [f"{side.name}, {what}: {r}" for r in judge_turn(turn)]
        self._progress.note(f"{self.case.title}: {what}: measured")

    async def _measure_closed(self) -> None:
        options, bodies = self._options, self._material.bodies

        async def take(side: Side, result: Result, number: int) -> Turn:
            turn = await take_closed_turn(
                side, bodies, options.clients, options.seconds, options.warm_up
            )
            result.closed.append(turn)
            return turn

        await self._in_turns("closed loop", take, options.repeats)

    async def _measure_open(self) -> None:
        options, bodies = self._options, self._material.bodies
        rate = OPEN_SHARE * min(find_median(t.rate for t in r.closed) for r in self.results)

        async def take(side: Side, result: Result, number: int) -> Turn:
            result.open_rate = rate
            seed = options.seed + 10 * number  # the same arrivals for all sides of a round
            turn = await take_open_turn(side, bodies, rate, options.seconds, options.warm_up, seed)
            result.open.append(turn)
            return turn

        await self._in_turns("open loop", take, options.repeats)

    async def _search_rates(self) -> None:
        options, bodies = self._options, self._material.bodies

        async def take(side: Side, result: Result, number: int) -> Turn:
            if result.search is None:
                closed = find_median(turn.rate for turn in result.closed)
                result.search = Search(closed, options.slo_ms)
            rate = result.search.next_rate
            turn = await take_open_turn(
                side, bodies, rate, options.step_seconds, options.warm_up, options.seed
            )
            result.search.take(rate, turn)
            return turn

        await self._in_turns(f"rate at {options.slo_ms:g} ms", take, options.slo_steps)

    async def _measure_phone(self) -> None:
        options, bodies = self._options, self._material.phone_bodies

        async def take(side: Side, result: Result, number: int) -> Turn:
            turn = await take_closed_turn(side, bodies, PHONE_CLIENTS, options.phone_seconds, 0)
            result.phone.append(turn)
            return turn

        await self._in_turns("12-megapixel photos", take, options.repeats)

    async def _cross_check(self) -> None:
        options = self._options
        for side, result in zip(self._sides, self.results, strict=True):
            self._progress.show(f"{self.case.title}: cross-checking {side.name}")
            result.metrics = await check_metrics(
                side, self._material.bodies, options.clients, options.seconds
            )
        if is_installed():
            side, result = self._sides[0], self.results[0]
            result.generator = await check_generator(
                *(side, self._material.photos[0], options.clients, options.seconds),
                options.client_cpus,
            )
