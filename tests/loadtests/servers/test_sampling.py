"""Samples of a server's usage, until the end of the block or of the server."""

import asyncio
import sys
from pathlib import Path

import pytest

from loadtests.servers.processes import Usage
from loadtests.servers.sampling import Samples, sample_usage
from loadtests.servers.server import Server, ServerSpec

pytestmark = pytest.mark.anyio
WAITING = ServerSpec("waiting", (sys.executable, "-c", "import time; time.sleep(60)"), Path.cwd())
SHORT = ServerSpec("short", (sys.executable, "-c", ""), Path.cwd())


async def test_usage_is_sampled_until_the_end() -> None:
    with Server(WAITING) as server:
        async with sample_usage(server, 0.005) as samples:
            while len(samples.usages) < 3:
                await asyncio.sleep(0.005)
        count = len(samples.usages)
        await asyncio.sleep(0.02)
    assert len(samples.usages) == count >= 4
    assert samples.seconds == sorted(samples.seconds)
    assert samples.peak_rss_bytes == samples.usages[-1].peak_bytes > 0


async def test_a_server_that_ends_is_no_fault() -> None:
    with Server(SHORT) as server:
        async with sample_usage(server, 0.005) as samples:
            await server.wait_for_end(20)
    assert isinstance(samples.peak_rss_bytes, int)


def test_peak_of_several_processes_is_the_largest_sum_seen() -> None:
    usages = [Usage(rss, 999, 1, 1, processes=2) for rss in (5, 9, 7)]
    assert Samples([0, 1, 2], usages).peak_rss_bytes == 9
    assert Samples().peak_rss_bytes == 0
