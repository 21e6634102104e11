"""The progress of a run, on one line of a terminal that is overwritten."""

import contextlib
import sys
from collections import deque
from collections.abc import Callable
from time import monotonic

_EVERY_SECONDS = 0.5
_RATE_SECONDS = 30.0  # over which images a second are counted


def describe_seconds(seconds: float) -> str:
    """`4 s`, `12 min`, `3 h 05 min`, `2 d 4 h`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


class Progress:
    """The line on standard error; silent if that is no terminal."""

    def __init__(self, is_shown: bool, clock: Callable[[], float] = monotonic) -> None:
        self.total: int | None = None  # images, when it is known
        self._is_shown = is_shown
        self._clock = clock
        self._recent: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._width = 0
        self._due = clock() + _EVERY_SECONDS

    def show(self, done: int, failed: int, there: int = 0) -> None:
        """Shows the counts so far, if it is time; `there`: rows of an earlier run."""
        now = self._clock()
        if not self._is_shown or now < self._due:
            return
        self._due = now + _EVERY_SECONDS
        self._recent.append((now, done))
        while len(self._recent) > 2 and now - self._recent[0][0] > _RATE_SECONDS:
            self._recent.popleft()
        self._write(self._describe(now, done, failed, there))

    def _describe(self, now: float, done: int, failed: int, there: int) -> str:
        began, before = self._recent[0]
        rate = (done - before) / max(now - began, 1e-9)
        of_total = "" if self.total is None else f" of {self.total:,}"
        parts = [f"{done + there:,}{of_total} images", f"{rate:.1f} a second", f"{failed:,} failed"]
        if self.total is not None and rate > 0:
            parts.append(f"{describe_seconds(max(0, self.total - done - there) / rate)} left")
        return ", ".join(parts)

    def clear(self) -> None:
        """Removes the line, before something else is written there and at the end."""
        if self._width:
            self._write(" " * self._width)
            self._width = 0

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a terminal that is gone
            sys.stderr.write(f"\r{text:<{self._width}}\r")
            sys.stderr.flush()
        self._width = len(text)
