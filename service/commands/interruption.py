"""SIGTERM and SIGINT as a wish to stop in order; a second one, later, ends the process."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

_SAME_WISH_SECONDS = 1.0  # `timeout` for one sends its signal to the process and to its group


@contextmanager
def interruption_calls(callback: Callable[[], None]) -> Iterator[None]:
    """Inside of the block, the first of the two signals calls `callback` in the main thread.

    It must not wait for anything that the main thread holds. A signal within a second of the first
    is the same wish; a later one acts as in any program.
    """
    first: float | None = None

    def handle(by: int, _: FrameType | None) -> None:
        nonlocal first
        if first is None:
            first = monotonic()
            callback()
        elif monotonic() - first >= _SAME_WISH_SECONDS:
            # Not the former handler: Python's own for SIGINT would print a traceback.
            signal.signal(by, signal.SIG_DFL)
            os.kill(os.getpid(), by)
            os._exit(128 + by)  # the first process of a container outlives that

    before = {by: signal.getsignal(by) for by in (signal.SIGTERM, signal.SIGINT)}
    try:
        for by in before:
            signal.signal(by, handle)
        yield
    finally:
        for by, former in before.items():
            signal.signal(by, former or signal.SIG_DFL)
