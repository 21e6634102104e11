"""Turns of two services under the same load: only one is loaded at a time, in the order A B B A."""

import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import gevent
from gevent.event import Event

from loadtests.clients.metrics import Metrics
from loadtests.errors import ServerFault
from loadtests.users.payloads import Payload
from loadtests.users.tally import Tally


@dataclass
class Turn:
    """One turn: whole passes over the images on one service."""

    side: int  # 0 or 1
    end: float  # `perf_counter` seconds: no pass is begun after it
    payloads: Sequence[Payload]
    tally: Tally = field(default_factory=Tally)
    began: float = 0.0
    ended: float = 0.0
    before: Metrics = field(default_factory=Metrics)
    after: Metrics = field(default_factory=Metrics)
    _sent: int = 0

    def take(self) -> Payload | None:
        """The next image; None when the time and the pass are over."""
        index = self._sent % len(self.payloads)
        if index == 0 and perf_counter() >= self.end and self._sent:
            return None
        self._sent += 1
        return self.payloads[index]

    @property
    def latencies(self) -> "array[float]":
        """Seconds of the accepted requests."""
        return self.tally.latency

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.tally.accepted / (self.ended - self.began) if self.ended > self.began else 0.0

    @property
    def cpu_per_image(self) -> float | None:
        """CPU seconds of the service for each accepted image; None where it tells none."""
        if self.before.cpu_seconds is None or self.after.cpu_seconds is None:
            return None
        if not self.tally.accepted:
            return None
        return (self.after.cpu_seconds - self.before.cpu_seconds) / self.tally.accepted


def plan_sides(rounds: int) -> Iterator[int]:
    """0 1 1 0 0 1 1 0 ...: whatever drifts, drifts for both; each round has both sides once."""
    for number in range(rounds):
        yield from (0, 1) if number % 2 == 0 else (1, 0)


class Director:
    """Opens the turns one after the other; users wait for an open one, and end it together."""

    def __init__(
        self,
        payloads: Sequence[Payload],
        consume: Callable[[int], Metrics],
        rounds: int,
        seconds: float,
        warm_up: float,
    ) -> None:
        self._payloads, self._consume = payloads, consume
        self._rounds, self._seconds, self._warm_up = rounds, seconds, warm_up
        self.reset()

    def reset(self) -> None:
        """A test starts, perhaps not the first."""
        self.turns: list[Turn] = []  # those that are over, without the warm-up
        self._turn: Turn | None = None
        self._opened, self._closed = Event(), Event()
        self._busy = 0
        self.is_over = False
        self.fault = ""  # why it ended early

    @property
    def planned(self) -> int:
        """How many turns there are in a whole test."""
        return 2 * self._rounds

    def run(self) -> None:
        """All turns, or those until a service has gone."""
        try:
            for side in (0, 1):
                self._run_turn(side, self._warm_up)
            for side in plan_sides(self._rounds):
                self.turns.append(self._run_turn(side, self._seconds))
        except ServerFault as fault:
            self.fault = str(fault)
        finally:
            self.is_over = True

    def _run_turn(self, side: int, seconds: float) -> Turn:
        turn = Turn(side, perf_counter() + seconds, self._payloads)
        turn.before = self._consume(side)
        cpu, turn.began = time.process_time(), perf_counter()
        turn.end = turn.began + seconds
        self._turn = turn
        self._closed.clear()
        self._opened.set()
        self._closed.wait()
        turn.ended = perf_counter()
        turn.tally.cpu = time.process_time() - cpu
        turn.tally.wall = turn.ended - turn.began
        turn.after = self._consume(side)
        return turn

    def join_turn(self, send: Callable[[Turn, Payload], bool], pause: float) -> None:
        """A user's part in the turn that is open, once there is one."""
        self._opened.wait()
        turn = self._turn
        assert turn is not None, "a turn is set before it is opened"
        self._busy += 1
        try:
            while (payload := turn.take()) is not None:
                if not send(turn, payload):
                    gevent.sleep(pause)
        finally:
            self._busy -= 1
            self._opened.clear()
            if not self._busy:
                self._closed.set()
