"""The clients of `loadtests.drain`, and the log of the outcomes of their requests."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from time import perf_counter

from loadtests.clients.http_client import (
    Address,
    Answer,
    Connection,
    How,
    Lost,
    Request,
    ask,
    build_request,
    connect,
)
from loadtests.clients.outcomes import read_code
from loadtests.drain.nginx import CONNECT_HEADER

KINDS = ("loop", "think", "connect", "burst")
GIVE_UP_SECONDS = 60.0
_REFUSED_PAUSE_SECONDS = 0.05  # no client asks again at once
_PROBE_SECONDS = 0.05
_READINESS_SECONDS = 0.25  # after SIGTERM, until it has to show


class Fate(StrEnum):
    """How a request ended."""

    ANSWERED = "answered 200"
    REFUSED = "refused in order (429, 503, 504)"
    WRONG = "another status"
    CLOSED = "lost: closed without an answer"
    RESET = "lost: reset"
    UNANSWERED = "lost: no answer in time"
    NOBODY = "refused at connect, after SIGTERM"
    EARLY = "lost: refused at connect, before SIGTERM"


LOST = (Fate.CLOSED, Fate.RESET, Fate.UNANSWERED, Fate.EARLY, Fate.WRONG)
_BY_LOSS = {How.RESET: Fate.RESET, How.CLOSED: Fate.CLOSED, How.TIMEOUT: Fate.UNANSWERED}


@dataclass
class DrainLog:
    """Counts, before and after SIGTERM; a request belongs to the time at which it ended."""

    told: float = float("inf")  # perf_counter seconds of SIGTERM
    over: bool = False  # the server has ended
    before: Counter[Fate] = field(default_factory=Counter)
    after: Counter[Fate] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)  # after SIGTERM, in detail
    kept_after: int = 0  # answers after SIGTERM that let the client keep its connection
    ready_after: int = 0  # 200 of /readyz, a moment after SIGTERM and later
    not_ready_after: int = 0
    latest: float = 0.0  # perf_counter seconds of the last answer

    @property
    def draining(self) -> bool:
        """Whether SIGTERM was sent."""
        return perf_counter() >= self.told

    def count(self, fate: Fate, label: str) -> Fate:
        """Notes the end of a request."""
        if self.draining:
            self.after[fate] += 1
            self.labels[label] += 1
        else:
            self.before[fate] += 1
        return fate

    def count_answer(self, answer: Answer) -> Fate:
        """Notes an answered request."""
        self.latest = max(self.latest, answer.answered)
        label = f"{answer.status} {read_code(answer)}".strip()
        if answer.status == 200:
            fate = Fate.ANSWERED
        elif answer.status in (429, 503, 504) and read_code(answer):
            fate = Fate.REFUSED
        elif answer.status == 502 and answer.headers.get(CONNECT_HEADER, "").endswith("-"):
            return self.count_refusal("502 of nginx: the server accepts nobody")
        else:
            fate = Fate.WRONG
        if self.draining and answer.keep_alive and CONNECT_HEADER not in answer.headers:
            self.kept_after += 1
        return self.count(fate, label)

    def count_loss(self, lost: Lost) -> Fate:
        """Notes a request without an answer."""
        if lost.how is How.REFUSED:
            return self.count_refusal(str(lost.how))
        return self.count(_BY_LOSS.get(lost.how, Fate.WRONG), str(lost.how))

    def count_refusal(self, label: str) -> Fate:
        """Notes a request that could not even be sent."""
        return self.count(Fate.NOBODY if self.draining else Fate.EARLY, label)

    @property
    def lost(self) -> int:
        """Requests that were lost, before or after SIGTERM."""
        return sum(self.before[fate] + self.after[fate] for fate in LOST)


class Clients:
    """Clients of one server."""

    def __init__(
        self,
        address: Address,
        requests: Sequence[Request],
        log: DrainLog,
        chance: random.Random,
        think_seconds: float,
    ) -> None:
        self._address, self._log = address, log
        self._requests, self._chance, self._think = requests, chance, think_seconds

    async def warm_up(self, count: int) -> None:
        """A few requests that are not counted. Raises Lost if one has no answer."""
        for request in self._requests[:count]:
            await ask(self._address, request, GIVE_UP_SECONDS)

    async def be(self, kind: str) -> None:
        """One client, until nobody accepts its connection any more. Raises OSError."""
        connection: Connection | None = None
        while True:
            request = self._chance.choice(self._requests)
            if connection is None or connection.closed or kind == "connect":
                if connection is not None:
                    connection.close()
                connection = await self._connect()
                if connection is None:
                    return
            fate = await self._send(connection, request)
            if kind == "burst" or fate is Fate.NOBODY:
                connection.close()
                return
            if fate is Fate.REFUSED:
                await asyncio.sleep(_REFUSED_PAUSE_SECONDS)
            if kind == "think":
                await asyncio.sleep(self._chance.uniform(0, 2 * self._think))

    async def watch_readiness(self, address: Address) -> None:
        """Asks the server itself whether it is ready, until nobody answers."""
        request = build_request("GET", "/readyz", headers={"Connection": "close"})
        while not self._log.over:
            draining = perf_counter() >= self._log.told + _READINESS_SECONDS
            try:
                answer = await ask(address, request, GIVE_UP_SECONDS)
            except Lost:
                await asyncio.sleep(_PROBE_SECONDS)
                continue
            if draining:
                if answer.status == 200:
                    self._log.ready_after += 1
                else:
                    self._log.not_ready_after += 1
            await asyncio.sleep(_PROBE_SECONDS)

    async def _connect(self) -> Connection | None:
        """A new connection; None, and counted, if there is none."""
        try:
            return await connect(self._address, GIVE_UP_SECONDS)
        except Lost as lost:
            self._log.count_loss(lost)
            return None

    async def _send(self, connection: Connection, request: Request) -> Fate:
        try:
            answer = await connection.exchange(request.data, GIVE_UP_SECONDS)
        except Lost as lost:
            return self._log.count_loss(lost)
        return self._log.count_answer(answer)
