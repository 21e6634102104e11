"""service.work.pulse: the lag of a loop that stands still, waking once a second, beginning and
end.
"""

import asyncio
import time

import pytest

from service.work.pulse import SECONDS, Pulse

pytestmark = pytest.mark.anyio


async def wait_for(beats: list[float], count: int) -> None:
    for _ in range(1000):
        if len(beats) >= count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{len(beats)} beats, expected {count}")


async def test_a_loop_that_stands_still_is_late_once_by_that_much() -> None:
    lags: list[float] = []
    pulse = Pulse(lags.append, lambda now: None)
    pulse.start()
    await wait_for(lags, 2)
    before = len(lags)
    time.sleep(0.5)  # what must not happen on an event loop
    await wait_for(lags, before + 1)
    pulse.stop()
    assert lags[before] >= 0.5 - SECONDS - 0.02, "the beat was due within the pause"
    assert all(lag >= 0 for lag in lags)


async def test_others_are_woken_with_every_tenth_beat() -> None:
    lags: list[float] = []
    moments: list[tuple[int, float]] = []
    pulse = Pulse(lags.append, lambda now: moments.append((len(lags), now)))
    pulse.start()
    await wait_for(lags, 21)
    pulse.stop()
    assert [count for count, _ in moments] == [10, 20]
    assert moments[0][1] < moments[1][1] <= asyncio.get_running_loop().time()


async def test_nothing_beats_before_the_start_and_after_the_end() -> None:
    lags: list[float] = []
    pulse = Pulse(lags.append, lambda now: None)
    pulse.stop()
    await asyncio.sleep(1.5 * SECONDS)
    assert lags == []
    pulse.start()
    await wait_for(lags, 1)
    pulse.stop()
    pulse.stop()
    count = len(lags)
    await asyncio.sleep(2.5 * SECONDS)
    assert len(lags) == count
