"""Samples a server's memory, threads and descriptors while it works."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter

from loadtests.servers.processes import ProcessGone, Usage
from loadtests.servers.server import Server

PERIOD_SECONDS = 0.2


@dataclass
class Samples:
    """Usage over time: seconds since the first sample."""

    seconds: list[float] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)

    @property
    def peak_rss_bytes(self) -> int:
        """The kernel's own peak where there is one process; else the largest sum that was seen."""
        if not self.usages:
            return 0
        last = self.usages[-1]
        if last.processes == 1:
            return last.peak_bytes
        return max(usage.rss_bytes for usage in self.usages)


@asynccontextmanager
async def sample_usage(server: Server, period: float = PERIOD_SECONDS) -> AsyncIterator[Samples]:
    """Samples until the block ends, or the server does; the last sample is taken at the end."""
    samples, began = Samples(), perf_counter()

    def take() -> bool:
        try:
            usage = server.read_usage()
        except ProcessGone:
            return False
        samples.seconds.append(perf_counter() - began)
        samples.usages.append(usage)
        return True

    async def repeat() -> None:
        while take():
            await asyncio.sleep(period)

    task = asyncio.create_task(repeat())
    try:
        yield samples
    finally:
        task.cancel()
        await asyncio.wait((task,))
        take()
