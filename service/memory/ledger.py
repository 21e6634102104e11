"""Accounts of memory, from which bytes are taken before they are used."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic


class Account:
    """A number of bytes that requests share. Thread-safe."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._held = 0
        self._changed = threading.Condition()
        self._line: deque[object] = deque()  # of threads, first come first

    @property
    def held(self) -> int:
        """Bytes that are taken out."""
        return self._held

    def try_take(self, size: int) -> bool:
        """Takes out `size` bytes; False, and nothing is taken, if there are too few."""
        with self._changed:
            if self._held + size > self.capacity:
                return False
            self._held += size
            return True

    def take(self, size: int) -> None:
        """Takes out bytes without a check: the caller knows that they are there."""
        with self._changed:
            self._held += size

    def give_back(self, size: int) -> None:
        """Returns bytes that were taken out."""
        with self._changed:
            self._held -= size
            if self._line:
                self._changed.notify_all()

    @contextmanager
    def hold(self, size: int, until: float, or_all: bool = False) -> Iterator[None]:
        """Takes out `size` bytes for the time of a block, waiting for them in line; for threads.

        `or_all`: if the account has less in total, all of it. The capacity may change at any time.

        A thread that holds bytes here must not wait for other threads: then everyone gets its turn.

        Raises:
            TimeoutError: they were not there by `until`, of time.monotonic.
            ValueError: the account has less even when nothing is taken out.
        """
        capacity = self.capacity
        if or_all:
            size = min(size, capacity)
        elif size > capacity:
            raise ValueError(f"expected at most {capacity} bytes; found {size}")
        with self._changed:
            if self._line or self._held + size > self.capacity:
                self._wait_in_line(size, until)
            self._held += size
        try:
            yield
        finally:
            self.give_back(size)

    def _wait_in_line(self, size: int, until: float) -> None:
        """Returns when it is this thread's turn and the bytes are there. The lock is held."""
        place = object()
        self._line.append(place)
        try:
            while self._line[0] is not place or (
                self._held and self._held + size > self.capacity  # which may have become less
            ):
                if not self._changed.wait(until - monotonic()):
                    raise TimeoutError
        finally:
            self._line.remove(place)
            self._changed.notify_all()
