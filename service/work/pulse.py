"""A timer on the event loop that measures its lag and calls other functions regularly."""

import asyncio
from collections.abc import Callable

#: Between two beats.
SECONDS = 0.1
_BEATS = 10  # until others are woken


class Pulse:
    """Beats ten times per second from `start` to `stop`, both on the event loop.

    `count_lag` gets each beat's delay in seconds; `wake` is called once per second of the loop's
    time. A late beat delays the next ones: if the loop stands still for a second, that is one beat
    with a delay of a second.
    """

    def __init__(self, count_lag: Callable[[float], None], wake: Callable[[float], None]) -> None:
        self._count_lag = count_lag
        self._wake = wake
        self._beats = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins."""
        self._expect(asyncio.get_running_loop())

    def stop(self) -> None:
        """Ends; may be called twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expect(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + SECONDS
        self._timer = loop.call_at(due, self._beat, loop, due)

    def _beat(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        now = loop.time()
        self._count_lag(max(0.0, now - due))  # the loop may wake up a clock's tick too early
        self._beats += 1
        if self._beats % _BEATS == 0:
            self._wake(now)
        self._expect(loop)
