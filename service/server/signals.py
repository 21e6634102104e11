"""The signals that a serving process heeds: those that end it, and SIGHUP for its models."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from types import FrameType

Handler = Callable[[int, FrameType | None], None]
_TERMINAL = "/dev/tty"


@contextlib.contextmanager
def signals_call(handler: Handler) -> Iterator[None]:
    """Inside, SIGTERM, SIGINT and SIGHUP call `handler`; their default would end the process.

    uvicorn does the same with the first two while it serves, and not before and after. SIGHUP means
    two things: somebody wants the models read again, or the terminal is gone that the process was
    started at; then `handler` gets SIGTERM. One started to outlive its terminal (nohup) does so.
    """
    outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    had_terminal = not outlives and has_terminal()

    def heed_hang_up(number: int, frame: FrameType | None) -> None:
        is_gone = had_terminal and not has_terminal()
        handler(signal.SIGTERM if is_gone else number, frame)

    handlers = {signal.SIGTERM: handler, signal.SIGINT: handler, signal.SIGHUP: heed_hang_up}
    before = {by: signal.signal(by, chosen) for by, chosen in handlers.items()}
    try:
        yield
    finally:
        for by, former in before.items():
            signal.signal(by, former)


def has_terminal() -> bool:
    """Whether the process belongs to a terminal that is there."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:  # there is none, or it has hung up
        return False
    return True
