"""One way to run a command: parse, act, print an error in one line, return the exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from models.errors import TrainingFault
from runtime.errors import RuntimeFault

FAULTS = (TrainingFault, RuntimeFault, OSError)
FAILED = 2  # exit code, the same as argparse has for wrong options
INTERRUPTED = 130  # exit code, as of a shell's command that SIGINT ended


def make_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """A parser for the module `name`; the description is its docstring."""
    return argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run_command(
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    act: Callable[[argparse.Namespace], None],
) -> int:
    """The exit code: 0; FAILED after one of FAULTS, which is printed on standard error; INTERRUPTED
    after Ctrl-C.
    """
    args = parser.parse_args(arguments)
    try:
        act(args)
    except FAULTS as error:
        tell_fault(parser.prog.removeprefix("python -m "), error)
        return FAILED
    except KeyboardInterrupt:
        print(f"{parser.prog.removeprefix('python -m ')}: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def tell_fault(name: str, error: Exception) -> None:
    """Prints the fault of a command called `name`."""
    print(f"{name}: {describe_fault(error)}", file=sys.stderr)


def describe_fault(error: Exception) -> str:
    """Expected, found, remedy; errors of the system are put in this form."""
    if not isinstance(error, OSError) or error.filename is None:
        return str(error)
    path = error.filename if error.filename2 is None else error.filename2
    if isinstance(error, FileNotFoundError):
        return f"expected a file or folder {path}; found none. Correct the path."
    reason = (error.strerror or type(error).__name__).lower()
    return f"expected {path} to be usable; found: {reason}. Correct that, or name another path."
