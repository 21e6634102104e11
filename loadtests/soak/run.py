"""Sends the requests of a soak, and samples the server meanwhile."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from loadtests.clients.asking import ask
from loadtests.clients.http_client import Pool
from loadtests.clients.loops import spare_collector
from loadtests.command_line.progress import Progress
from loadtests.errors import ServerFault
from loadtests.servers.processes import ProcessGone, Usage
from loadtests.servers.server import Server
from loadtests.soak.requests import Mix, send

_SAMPLES = 400  # of the usage, over the whole run
_SETTLE_SECONDS = 3.0
#: Requests done, seconds since the beginning, usage then.
Point = tuple[int, float, Usage]


@dataclass
class SoakRun:
    """What a soak saw."""

    began: float = 0.0
    done: int = 0
    labels: dict[str, Counter[str]] = field(default_factory=dict)  # by kind of request
    wrong: Counter[str] = field(default_factory=Counter)
    points: list[Point] = field(default_factory=list)
    before: Usage = field(default_factory=lambda: Usage(0, 0, 0, 0))
    after: Usage = field(default_factory=lambda: Usage(0, 0, 0, 0))
    alive: bool = False
    ready_after: bool = False


@dataclass
class Soak:
    """A soak that runs: what it sends, to which server, and what it has seen."""

    server: Server
    mix: Mix
    requests: int
    run: SoakRun = field(default_factory=SoakRun)
    begun: int = 0

    async def be_client(self, pool: Pool) -> None:
        """Sends until all requests are begun, or the server is gone. Raises OSError."""
        while self.begun < self.requests and self.server.alive:
            self.begun += 1
            planned = self.mix.draw()
            label, right = await send(pool, planned)
            self.run.labels.setdefault(planned.kind, Counter())[label] += 1
            if not right:
                self.run.wrong[f"{planned.kind}: {label}"] += 1
            self.run.done += 1

    def sample(self) -> None:
        """Notes the usage now."""
        try:
            usage = self.server.read_usage()
        except ProcessGone:
            return
        self.run.points.append((self.run.done, perf_counter() - self.run.began, usage))


async def soak_server(soak: Soak, clients: int, progress: Progress) -> None:
    """All requests, by so many clients at once; what was seen is in `soak.run`. Raises OSError."""
    server, run = soak.server, soak.run
    run.before = server.read_usage()
    run.began = perf_counter()
    pool = Pool(server.address)
    every = max(soak.requests // _SAMPLES, 1)

    async def watch() -> None:
        following = 0
        while True:
            if run.done >= following:
                soak.sample()
                following = run.done + every
            share = run.done / soak.requests
            progress.show(
                f"{run.done}/{soak.requests} requests ({share:.0%}), {run.wrong.total()} wrong"
            )
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    try:
        with spare_collector():
            await asyncio.gather(*(soak.be_client(pool) for _ in range(clients)))
    finally:
        watching.cancel()
    soak.sample()
    pool.close()
    await asyncio.sleep(_SETTLE_SECONDS)
    run.alive = server.alive
    run.after = server.read_usage() if run.alive else Usage(0, 0, 0, 0)
    if run.alive:
        try:
            status, _ = await asyncio.to_thread(ask, str(server.address), "/readyz")
            run.ready_after = status == 200
        except ServerFault:
            run.ready_after = False


def read_limit(info: Any) -> int:
    """The bytes of a body that the service takes, as it says itself. Raises ServerFault."""
    try:
        return int(info["limits"]["max_body_bytes"])
    except (ValueError, KeyError, TypeError) as fault:
        raise ServerFault(
            "expected limits.max_body_bytes in /info, found none; is this the service?"
        ) from fault
