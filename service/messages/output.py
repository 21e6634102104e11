"""Output of the shell commands: printable in the terminal's encoding, and never lost silently."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from service.messages.logs import escape_controls


class OutputLost(Exception):
    """Standard output is closed or full; the text says which."""


def print_line(text: str) -> None:
    """Writes one or more lines to standard output; characters that its encoding lacks are escaped.

    Raises OutputLost, BrokenPipeError.
    """
    with _taking_output() as stream:
        stream.write(_fit(text, stream) + "\n")


def print_bytes(data: bytes) -> None:
    """Writes bytes to standard output unchanged; text must be in its encoding.

    Raises OutputLost, BrokenPipeError.
    """
    with _taking_output() as stream:
        stream.flush()
        stream.buffer.write(data)


@contextmanager
def _taking_output() -> Iterator[TextIO]:
    if sys.stdout is None:  # so Python has it where the descriptor was closed at the start
        raise OutputLost("expected a standard output to write to; it is closed")
    try:
        yield sys.stdout
        sys.stdout.flush()  # a full disk is told by this, not at the interpreter's exit
    except BrokenPipeError:
        raise
    except OSError as fault:
        raise OutputLost(f"expected to write all output; found: {fault.strerror}") from fault


def print_json(content: dict[str, Any]) -> None:
    """Writes one line of JSON, in ASCII if the encoding cannot hold its text.

    Raises OutputLost, BrokenPipeError.
    """
    text = json.dumps(content, ensure_ascii=False)
    if sys.stdout is not None and _fit(text, sys.stdout) != text:
        text = json.dumps(content)
    print_line(text)


def print_error(message: str) -> None:
    """Writes `error: message` to standard error; see `print_note`."""
    print_note(f"error: {message}")


def print_note(message: str) -> None:
    """Writes one line to standard error, with control characters escaped.

    If there is no standard error, or it cannot be written to, nothing happens.
    """
    if sys.stderr is not None:  # print() would write to standard output instead
        with contextlib.suppress(OSError):
            sys.stderr.write(_fit(escape_controls(message), sys.stderr) + "\n")


def run_command(command: Callable[[], int]) -> int:
    """Runs a command that prints; returns its status, or 1 if its output was lost."""
    try:
        return command()
    except BrokenPipeError:  # the reader of our output, `head` for one, has seen enough
        _discard_output()
    except OutputLost as fault:
        print_error(str(fault))
        _discard_output()
    return 1


class Parser(argparse.ArgumentParser):
    """An argument parser that prints its help and errors with these functions."""

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is sys.stderr:
            for line in message.splitlines():
                print_note(line)
        else:
            print_line(message.removesuffix("\n"))


def _fit(text: str, stream: TextIO) -> str:
    """The text, with characters escaped that the stream's encoding lacks."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _discard_output() -> None:
    """Discards buffered output, which the interpreter would flush at its exit."""
    if sys.stdout is not None:
        with contextlib.suppress(OSError, ValueError):  # a stream without a descriptor
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
