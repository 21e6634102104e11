"""Ends one server under clients of one kind, and follows each of their requests to its end."""

import argparse
import asyncio
import contextlib
import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from loadtests.clients.http_client import Address
from loadtests.clients.images import SIZES, generate_jpegs
from loadtests.clients.requests import build_classify
from loadtests.drain.clients import Clients, DrainLog, Fate
from loadtests.drain.nginx import Nginx
from loadtests.servers.server import Server, ServerSpec

DIRECT, BUFFERED, UNBUFFERED = "direct", "nginx", "nginx, request buffering off"
_GRACE_MS = 30_000  # where none is given: what Kubernetes waits
_SLACK_SECONDS = 5.0
_WARM_UP_REQUESTS = 3


@dataclass(frozen=True)
class Drained:
    """One scenario: how clients reached the server, which clients, and how it ended."""

    front: str
    kind: str
    log: DrainLog
    exit_status: int | None  # None: it had to be killed
    exit_seconds: float  # from SIGTERM on

    @property
    def title(self) -> str:
        """As tables have it."""
        return f"{self.front}: {self.kind}"


def limit_exit(options: argparse.Namespace) -> float:
    """Seconds from SIGTERM to the end that are allowed."""
    if options.exit_within:
        return float(options.exit_within)
    grace = _GRACE_MS if options.grace_ms is None else options.grace_ms
    return ((options.drain_delay_ms or 0) + grace) / 1000 + _SLACK_SECONDS


async def drain(
    spec: ServerSpec,
    front: str,
    kind: str,
    options: argparse.Namespace,
    server_cpus: Sequence[int],
    client_cpus: Sequence[int],
) -> Drained:
    """One kind of clients, a fresh server, and nginx before it if `front` says so.

    Raises ServerFault.
    """
    with contextlib.ExitStack() as running:
        server = running.enter_context(Server(spec, server_cpus))
        await server.wait_until_ready()
        address = server.address
        if front != DIRECT:
            nginx = running.enter_context(Nginx(address, front == BUFFERED, client_cpus))
            await nginx.wait_until_ready()
            address = nginx.address
        return await _follow(server, address, front, kind, options)


async def _follow(
    server: Server, address: Address, front: str, kind: str, options: argparse.Namespace
) -> Drained:
    images = generate_jpegs(options.seed, 4, SIZES[options.images])
    requests = [build_classify(image, options.form) for image in images]
    log = DrainLog()
    clients = Clients(address, requests, log, random.Random(options.seed), options.think_ms / 1000)
    await clients.warm_up(_WARM_UP_REQUESTS)
    tasks = [asyncio.create_task(clients.be(kind)) for _ in range(options.clients)]
    watching = asyncio.create_task(clients.watch_readiness(server.address))
    end = perf_counter() + options.after
    while perf_counter() < end and not (
        kind == "burst" and log.before[Fate.ANSWERED] >= options.clients // 2
    ):
        await asyncio.sleep(0.005)
    server.signal(signal.SIGTERM)
    log.told = perf_counter()
    status = await server.wait_for_end(limit_exit(options) + _SLACK_SECONDS)
    seconds = perf_counter() - log.told
    log.over = True
    for task in (*tasks, watching):
        await task
    return Drained(front, kind, log, status, seconds)
