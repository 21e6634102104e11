"""service.memory.trim: memory is given back once after each busy time, and now and then in a
long one.
"""

import asyncio
import threading

import pytest

from service.memory.trim import IdleTrim

pytestmark = pytest.mark.anyio
MIB = 2**20


class Process:
    """A process that is busy or idle, and as large as the test says."""

    def __init__(self) -> None:
        self.is_idle = True
        self.resident = 100 * MIB
        self.smallest = 100 * MIB
        self.trimmed: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.trim = IdleTrim(lambda: self.is_idle, lambda: self.resident, self._trim)

    def _trim(self) -> None:
        assert self.gate.wait(60)
        self.trimmed.append(threading.current_thread().name)
        self.resident = self.smallest

    async def look(self, *moments: float) -> int:
        """Takes a look at each moment; how often it has been trimmed so far."""
        for now in moments:
            self.trim.update(now)
            while self.gate.is_set() and self.trim._is_running:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)
        return len(self.trimmed)


async def test_it_waits_until_the_service_has_been_idle_for_a_while() -> None:
    process = Process()
    assert await process.look(0.0, 1.0) == 0
    process.is_idle = False
    assert await process.look(2.0) == 0
    process.is_idle = True
    assert await process.look(3.0, 4.0) == 0
    assert await process.look(5.1) == 1
    assert process.trimmed != [threading.current_thread().name], "not on the event loop"


async def test_once_for_each_busy_time_that_left_something() -> None:
    process = Process()
    assert await process.look(0, 2, 3, 4, 5) == 1
    process.resident = 103 * MIB  # too little to be worth it
    assert await process.look(6, 7, 8) == 1
    process.is_idle = False
    assert await process.look(9) == 1
    process.is_idle, process.resident, process.smallest = True, 300 * MIB, 150 * MIB
    assert await process.look(10, 12, 13, 14) == 2
    process.resident = 153 * MIB
    assert await process.look(15) == 2, "what could not be given back is no reason to try again"


async def test_now_and_then_while_work_goes_on() -> None:
    process = Process()
    process.is_idle = False
    assert await process.look(*range(10)) == 0
    assert await process.look(*range(10, 20)) == 1
    assert await process.look(*range(20, 41)) == 4
    process.is_idle, process.resident = True, 120 * MIB
    assert await process.look(41, 42) == 4
    assert await process.look(43.1, 44, 45) == 5, "and once when it is idle"


async def test_not_twice_at_the_same_time() -> None:
    process = Process()
    process.gate.clear()
    await process.look(0, 2, 3, 4)
    process.gate.set()
    assert await process.look(5) == 1
