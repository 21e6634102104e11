"""Passes names from their listing to the workers: a bounded queue with a thread."""

import os
import threading
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Self

_CAPACITY = 4096  # names that are listed ahead


class Feed:
    """Lists names in a thread of its own, as far ahead as its capacity.

    `descriptor` becomes readable when names or the end come after `take` had none to return. At the
    end the thread may still wait for a disk or a pipe; it does not keep the process alive.
    """

    def __init__(self, names: Iterable[str], capacity: int = _CAPACITY) -> None:
        self._names = names
        self._capacity = capacity
        self._waiting: deque[str] = deque()
        self._changed = threading.Condition()
        self._is_hungry = False
        self._is_over = False
        self._is_closed = False
        self._fault: Exception | None = None
        self.descriptor, self._bell = os.pipe()
        os.set_blocking(self._bell, False)
        self._thread = threading.Thread(target=self._run, name="list", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            os.close(self.descriptor)
            os.close(self._bell)

    def take(self, count: int) -> list[str]:
        """Returns the names that are there, at most so many; [] if there are none.

        When all earlier names are taken, raises what the listing raised.
        """
        with self._changed:
            names = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
            if names:
                self._changed.notify_all()
            elif self._fault is not None:
                raise self._fault
            elif not self._is_over:
                self._is_hungry = True
            return names

    @property
    def is_over(self) -> bool:
        """Whether no names are there and none will come."""
        with self._changed:
            return self._is_over and not self._waiting and self._fault is None

    def peek(self, count: int, seconds: float) -> int | None:
        """The total number of names, if it is at most `count` and known in time."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_over or len(self._waiting) > count, timeout=seconds
            )
            return len(self._waiting) if self._is_over and len(self._waiting) <= count else None

    def clear_bell(self) -> None:
        """Clears what made the descriptor readable."""
        os.read(self.descriptor, 4096)

    def _run(self) -> None:
        try:
            for name in self._names:
                if not self._put(name):
                    return
        except Exception as fault:
            self._fault = fault  # the thread that takes names raises it
        with self._changed:
            self._is_over = True
            self._ring()

    def _put(self, name: str) -> bool:
        """False if names are no longer wanted."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self._waiting) < self._capacity)
            self._waiting.append(name)
            if self._is_hungry:
                self._ring()
            return not self._is_closed

    def _ring(self) -> None:
        self._is_hungry = False
        self._changed.notify_all()
        if not self._is_closed:
            os.write(self._bell, b"\0")
