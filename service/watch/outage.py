"""Outages: logged once at the beginning and the end, retried at growing intervals."""

import logging
import random
from collections.abc import Callable
from time import monotonic

_log = logging.getLogger(__name__)
_FIRST_SECONDS = 0.5
_MAX_SECONDS = 30.0
_STEADY_SECONDS = 10.0


class Backoff:
    """Seconds to wait before the next try: doubled each time, with jitter, up to a maximum.

    Each is between half of the value and the value, so that many cameras that failed together are
    not retried together.
    """

    def __init__(
        self,
        first: float = _FIRST_SECONDS,
        largest: float = _MAX_SECONDS,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._first = first
        self._largest = largest
        self._draw = draw
        self._value = first

    def advance(self) -> float:
        """The seconds to wait now; the next waits are longer."""
        value = self._value
        self._value = min(2 * value, self._largest)
        return value * (1 + self._draw()) / 2

    def reset(self) -> None:
        """Makes the next wait the shortest one again."""
        self._value = self._first


class Outage:
    """Follows failures; each outage is logged when it begins and when it is over.

    It is over when all went well for `steady` seconds: if every second try fails, that is one
    outage, not many. For one thread.
    """

    def __init__(
        self,
        began: str,
        over: str,
        *,
        steady: float = _STEADY_SECONDS,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.count = 0
        self.is_on = False
        self._began, self._over = began, over
        self._steady = steady
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._since = 0.0
        self._failures = 0
        self._well_since: float | None = None

    def fail(self, reason: str) -> float:
        """Notes a failure; returns the seconds to wait before the next try."""
        self._well_since = None
        self._failures += 1
        if not self.is_on:
            self.is_on = True
            self.count += 1
            self._since, self._failures = self._clock(), 1
            _log.warning(self._began, extra={"reason": reason})
        return self._backoff.advance()

    def succeed(self) -> None:
        """Notes that all went well."""
        if not self.is_on:
            return
        now = self._clock()
        if self._well_since is None:
            self._well_since = now
        if now - self._well_since >= self._steady:
            self.is_on = False
            self._backoff.reset()
            seconds = round(self._well_since - self._since, 1)
            _log.warning(self._over, extra={"seconds": seconds, "failures": self._failures})
