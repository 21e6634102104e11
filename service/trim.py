"""Gives memory that is free again back to the system, when the service has become idle."""

import asyncio
import logging
from collections.abc import Callable

_log = logging.getLogger(__name__)
_IDLE_SECONDS = 2.0
_WORTH_BYTES = 16 * 2**20


class IdleTrim:
    """Trims the allocator once after each busy time that left the process larger than it was.

    `update` is to be called about once a second, on the event loop; `trim` runs in a thread.
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
        self._least: int | None = None  # resident bytes after the last trimming
        self._running: asyncio.Future[object] | None = None

    def update(self, now: float) -> None:
        """Takes a look; `now`: seconds of any steady clock."""
        if not self._is_idle():
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= _IDLE_SECONDS and not self._is_running:
            before = self._read_resident()
            if self._least is None or before > self._least + _WORTH_BYTES:
                loop = asyncio.get_running_loop()
                self._running = loop.run_in_executor(None, self._trim)
                self._running.add_done_callback(lambda _: self._finish(before))

    @property
    def _is_running(self) -> bool:
        return self._running is not None and not self._running.done()

    def _finish(self, before: int) -> None:
        self._least = self._read_resident()
        _log.debug("memory trimmed", extra={"before": before, "after": self._least})
