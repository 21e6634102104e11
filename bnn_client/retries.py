"""Decides when to send a request again: never earlier than asked, and within limits."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from bnn_client.errors import ClientError

_JITTER = 0.5  # of the wait, at most, is added to it, so that refused clients come back one by one


@dataclass(frozen=True)
class Retry:
    """How often and how long a request may be repeated.

    `attempts` counts the first one: 1 never repeats. No wait begins that would end later than
    `seconds` after the first attempt began. Without a Retry-After the waits are `first_wait`, then
    twice as long each time.

    Only failures that may pass, and requests that are safe to repeat, are repeated: 429 and 503
    with Retry-After (from a proxy also without), and failed connections. Everything else is final.
    """

    attempts: int = 4
    seconds: float = 30.0
    first_wait: float = 0.25

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if self.attempts < 1:
            raise ValueError(f"attempts: expected 1 or more; found {self.attempts}")
        if not self.seconds >= 0:
            raise ValueError(f"seconds: expected 0 or more; found {self.seconds}")
        if not 0 < self.first_wait < float("inf"):
            raise ValueError(f"first_wait: expected more than 0; found {self.first_wait}")


class Attempts:
    """The attempts at one request; the first begins now. `clock` and `draw` are for tests."""

    def __init__(
        self,
        retry: Retry,
        clock: Callable[[], float] = monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._retry = retry
        self._clock = clock
        self._draw = draw
        self._began = clock()
        self._done = 0

    def wait_after(self, fault: ClientError) -> float:
        """The seconds to wait before the next attempt; raises `fault` if there is to be none."""
        self._done += 1
        if not fault.may_pass or self._done >= self._retry.attempts:
            raise fault
        wait = self._retry.first_wait * 2.0 ** min(self._done - 1, 60)
        if fault.retry_after is not None:
            wait = max(fault.retry_after, self._retry.first_wait)
        wait *= 1 + _JITTER * self._draw()
        if self._clock() - self._began + wait > self._retry.seconds:
            raise fault
        return wait
