"""Probes that run beside a load, often, on new connections and on a kept one."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import perf_counter

from loadtests.clients.http_client import Address, Pool, build_request
from loadtests.clients.outcomes import Outcome, attempt, attempt_alone

#: Seconds between two: orchestrators and Prometheus ask ten times more rarely.
PERIODS = {"/livez": 0.1, "/readyz": 0.1, "/metrics": 5.0}
GIVE_UP_SECONDS = 10.0
NEW, KEPT = "new connections", "kept connection"


@dataclass
class ProbeLog:
    """The outcomes of the probes, by path and by how they connect."""

    outcomes: dict[tuple[str, str], list[Outcome]] = field(default_factory=dict)

    def take(self, path: str, how: str) -> list[Outcome]:
        """The list of one loop."""
        return self.outcomes.setdefault((path, how), [])

    @property
    def max_seconds(self) -> float:
        """The slowest of all, those without an answer included."""
        found = [o.latency for outcomes in self.outcomes.values() for o in outcomes]
        return max(found, default=0.0)


@asynccontextmanager
async def run_probes(
    address: Address, periods: Mapping[str, float] = PERIODS
) -> AsyncIterator[ProbeLog]:
    """Probes until the block ends; what is on its way then is still waited for, within bounds."""
    log, over = ProbeLog(), asyncio.Event()

    async def repeat(path: str, period: float, how: str) -> None:
        outcomes, pool = log.take(path, how), Pool(address)
        headers = {"Connection": "close"} if how == NEW else {}
        data = build_request("GET", path, headers=headers).data
        due = perf_counter()
        while not over.is_set():
            now = perf_counter()
            if how == NEW:
                outcome = await attempt_alone(address, data, now, GIVE_UP_SECONDS)
            else:
                outcome = await attempt(pool, data, now, GIVE_UP_SECONDS)
            outcomes.append(outcome)
            # The next one at the next whole period: a slow answer is followed by one at once.
            due = max(due + period, perf_counter() - period)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(due - perf_counter(), 0.0)):
                    await over.wait()
        pool.close()

    async with asyncio.TaskGroup() as tasks:
        for path, period in periods.items():
            for how in (NEW, KEPT):
                tasks.create_task(repeat(path, period, how))
        try:
            yield log
        finally:
            over.set()
