"""Returns free memory to the system, when the service is idle and from time to time."""

import asyncio
import logging
from collections.abc import Callable

_log = logging.getLogger(__name__)
_IDLE_SECONDS = 2.0
_BUSY_SECONDS = 10.0  # between two times, as long as it is not idle; each takes some milliseconds
_WORTH_BYTES = 4 * 2**20


class IdleTrim:
    """Trims the allocator once after each busy time that left the process larger than before.

    In a long busy time it trims every ten seconds, because free pages between used ones would grow.
    `update` is to be called about once per second, on the event loop; `trim` runs in a thread.
    """

    def __init__(
        self,
        is_idle: Callable[[], bool],
        read_resident: Callable[[], int],
        trim: Callable[[], object],
    ) -> None:
        self._is_idle = is_idle
        self._read_resident = read_resident
        self._trim = trim
        self._idle_since: float | None = None
        self._least: int | None = None  # resident bytes after the last trimming while idle
        self._trimmed_at: float | None = None
        self._running: asyncio.Future[object] | None = None

    def update(self, now: float) -> None:
        """Decides whether to trim; `now`: seconds of any steady clock."""
        if not self._is_idle():
            self._idle_since = None
            if self._trimmed_at is None:
                self._trimmed_at = now
            elif now - self._trimmed_at >= _BUSY_SECONDS:
                self._begin(now, lambda: None)
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= _IDLE_SECONDS:
            before = self._read_resident()
            if self._least is None or before > self._least + _WORTH_BYTES:
                self._begin(now, self._note_least)

    def _begin(self, now: float, then: Callable[[], None]) -> None:
        if not self._is_running:
            self._trimmed_at = now
            self._running = asyncio.get_running_loop().run_in_executor(None, self._trim)
            self._running.add_done_callback(lambda _: then())

    @property
    def _is_running(self) -> bool:
        return self._running is not None and not self._running.done()

    def _note_least(self) -> None:
        self._least = self._read_resident()
        _log.debug("memory trimmed", extra={"after": self._least})
