"""A peer in a child process of its own interpreter, which stays alive and runs on command."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.errors import RuntimeFault
from runtime.measurement.timing import Timer

PROGRAM = Path(__file__).with_name("peers") / "serve.py"
START_SECONDS = 600.0  # imports, conversion, compilation
CALL_SECONDS = 120.0  # a turn
CLOSE_SECONDS = 5.0  # from the end of its input to the end of the process
STDERR_TAIL = 300  # characters quoted of what a dead peer said


class PeerProcess:
    """A process that runs peers/serve.py with one peer module.

    `facts` is what the peer says of itself. Inherits the CPUs of the thread that starts it. Use it
    as a context manager, or close() it. Raises RuntimeFault if it does not start, naming why.
    """

    def __init__(
        self,
        python: str,
        module: str,
        options: Mapping[str, Any],
        seconds: float = START_SECONDS,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        self._name, self._call_seconds = module, call_seconds
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        try:
            self._process = subprocess.Popen(
                [python, str(PROGRAM), module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=_environment(python),
            )
        except OSError as error:
            self._errors.close()
            raise RuntimeFault(
                f"expected an interpreter for {module}, but {python} does not start: {error}"
            ) from error
        self._buffer = b""
        try:
            self.facts: dict[str, Any] = self._ask(options, seconds)["ready"]
        except BaseException:
            self.close()
            raise

    def time(self, call: str, runs: int) -> dict[str, list[float]]:
        """Seconds of `runs` runs of a call after one that is not timed, by part of it.

        Raises RuntimeFault if the peer fails or has died.
        """
        answer = self._ask({"call": call, "runs": runs}, self._call_seconds)
        seconds: dict[str, list[float]] = answer["seconds"]
        return seconds

    def timer(self, call: str) -> Timer:
        """The call as a contestant of take_turns."""
        return lambda runs: self.time(call, runs)["whole"]

    def close(self) -> None:
        """Ends the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # it died before it read the last command
                    continue
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def __enter__(self) -> PeerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, command: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._died() from error
        answer: dict[str, Any] = json.loads(self._read_line(seconds))
        if "failed" in answer:
            raise RuntimeFault(f"{self._name} failed: {answer['failed']}")
        return answer

    def _read_line(self, seconds: float) -> bytes:
        assert self._process.stdout is not None
        pipe, deadline = self._process.stdout.fileno(), time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([pipe], [], [], left)[0]:
                self._process.kill()
                raise RuntimeFault(
                    f"{self._name} failed: expected an answer within {seconds:g} s, found none; "
                    "the process was ended"
                )
            received = os.read(pipe, 1 << 16)
            if not received:
                raise self._died()
            self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _died(self) -> RuntimeFault:
        code = self._process.wait()
        self._errors.seek(0)
        said = " ".join(self._errors.read().decode(errors="replace").split())
        return RuntimeFault(
            f"{self._name} failed: its process ended with {code}"
            + (f": ...{said[-STDERR_TAIL:]}" if said else " and said nothing")
        )


def _environment(python: str) -> dict[str, str]:
    """This process's, without what would make another interpreter import its packages."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH" or python == sys.executable}
