"""One test of the Locust file: its options, images, stages, and what was found in each."""

import itertools
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from time import perf_counter

from loadtests.users.payloads import Payload
from loadtests.users.stages import Ramp, Stage
from loadtests.users.tally import Tally, add_up
from loadtests.users.thresholds import Limits, judge_answers, judge_generator, limit_ramp
from loadtests.users.timings import StageTimings


class Session:
    """What the users, the shape and the report have in common."""

    def __init__(self, options: Namespace, limits: Limits, payloads: Sequence[Payload]) -> None:
        self.options = options
        self.limits = limit_ramp(limits) if options.shape == "ramp" else limits
        self._payloads = payloads
        self.timings = StageTimings()
        self.begin()
        self._is_running = False

    @property
    def is_open(self) -> bool:
        """An open loop."""
        return bool(self.options.loop == "open")

    def begin(self) -> None:
        """A test starts, perhaps not the first: the web page can start another one."""
        self.payloads: Iterator[Payload] = itertools.cycle(self._payloads)
        self.ramp: Ramp | None = None
        self.stages: list[tuple[Stage, Tally]] = []
        self._rest = Tally()  # of requests outside of any stage
        self.timings.clear()
        self._cpu, self._wall = time.process_time(), perf_counter()
        self.began = self.ended = perf_counter()
        self._is_running = True

    def end(self) -> None:
        """The test is over: what the generator does from now on is not counted."""
        self.read_cpu()
        self._is_running = False

    @property
    def tally(self) -> Tally:
        """Of the stage that runs."""
        return self.stages[-1][1] if self.stages else self._rest

    def enter(self, stage: Stage) -> None:
        """Begins a stage."""
        self.read_cpu()
        self.stages.append((stage, Tally()))

    def read_cpu(self) -> None:
        """Adds the generator's CPU time since the last call to the stage that runs."""
        cpu, wall = time.process_time(), perf_counter()
        if not self._is_running:
            return
        self.tally.cpu += cpu - self._cpu
        self.tally.wall += wall - self._wall
        self._cpu, self._wall = cpu, wall

    def forget_warm_up(self) -> None:
        """Follows Locust's --reset-stats."""
        self.read_cpu()
        self._rest.clear()
        for _, tally in self.stages:
            tally.clear()
        self.timings.clear()
        self.began = self.ended = perf_counter()

    def note_end(self) -> None:
        """An answer has come: the test lasts until the last one."""
        self.ended = perf_counter()

    def judge_stage(self) -> list[str]:
        """Why the current stage of a ramp was too much; empty if it held."""
        self.read_cpu()
        checks = judge_answers(self.limits, self.tally)
        missed = [f"{c.name} {c.found}, allowed {c.limit}" for c in checks if not c.held]
        return missed + judge_generator(self.limits, self.tally)

    def add_up(self) -> Tally:
        """All stages."""
        return add_up([self._rest, *(tally for _, tally in self.stages)])

    def take_in(self, tally: Tally) -> None:
        """What a worker has found since its last message."""
        self.tally.add(tally)
        if tally.total:
            self.note_end()

    def hand_over(self) -> Tally:
        """Everything so far, which is forgotten here: a worker's message."""
        self.read_cpu()
        total = self.add_up()
        self._rest.clear()
        for _, tally in self.stages:
            tally.clear()
        return total
