"""`python -m service`: handles SIGTERM from its first moment on, then runs the command line."""

import os
import signal
import sys
from collections.abc import Sequence

from service.system.quick_imports import quick_imports


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 1 for a failure, 2 for wrong usage."""
    if os.getpid() == 1:  # the kernel ignores a signal that the first process has no handler for
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    with quick_imports():  # still, they take some tenths of a second
        from service.command_line import run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
