"""Probes beside a load: every path, on new connections and on a kept one, until the end."""

import asyncio

import pytest

from loadtests.overload.probes import KEPT, NEW, run_probes
from tests.loadtests.local_server import CLOSING, OK, Peer, serve

pytestmark = pytest.mark.anyio


async def test_probes_run_on_new_and_on_kept_connections() -> None:
    async def behave(peer: Peer) -> None:
        while b"Connection: close" not in await peer.read_head():
            await peer.send(OK)
        await peer.send(CLOSING)

    paths = ("/livez", "/metrics")
    async with serve(behave) as seen, run_probes(seen.address, dict.fromkeys(paths, 0.005)) as log:
        while min(map(len, log.outcomes.values()), default=0) < 3 or len(log.outcomes) < 4:
            await asyncio.sleep(0.005)
    assert set(log.outcomes) == {(p, how) for p in paths for how in (NEW, KEPT)}
    assert {o.status for outcomes in log.outcomes.values() for o in outcomes} == {200}
    new = sum(len(log.outcomes[path, NEW]) for path in paths)
    assert seen.connections == new + 2
    slowest = max(o.latency for outcomes in log.outcomes.values() for o in outcomes)
    assert log.max_seconds == slowest


async def test_a_lost_probe_counts_with_the_time_it_took() -> None:
    async def behave(peer: Peer) -> None:
        await peer.read_head()

    async with serve(behave) as seen, run_probes(seen.address, {"/livez": 0.005}) as log:
        while not all(log.outcomes.values()) or not log.outcomes:
            await asyncio.sleep(0.005)
    assert log.max_seconds > 0
    assert {o.label for o in log.outcomes["/livez", NEW]} == {"closed without an answer"}
