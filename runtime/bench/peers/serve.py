"""Runs one peer module in its own process and times its calls on command: python serve.py MODULE.

The first line on standard input is a JSON object of options; the answer is {"ready": facts} or
{"failed": reason}. Then {"call": name, "runs": n} runs a call once untimed and n times timed; the
answer is {"seconds": {part: [...]}}, or {"failed": reason}. The end of input ends the process. It
imports the standard library alone: the interpreter is the peer's.

A peer module has open_peer(options) -> (facts, calls): calls by name. A call returns None, and
is timed as a whole, or the seconds of its parts by name.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

Call = Callable[[], "Mapping[str, float] | None"]
WHOLE = "whole"


def load_module(name: str) -> Any:
    """The peer module beside this file, or at a path that ends in .py."""
    path = Path(name) if name.endswith(".py") else Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"expected a peer module, found no file {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def time_call(call: Call, runs: int) -> dict[str, list[float]]:
    """Seconds of `runs` runs after one that is not timed, by part."""
    call()
    seconds: dict[str, list[float]] = {}
    for _ in range(runs):
        start = time.perf_counter()
        parts = call()
        whole = time.perf_counter() - start
        for name, value in (parts or {WHOLE: whole}).items():
            seconds.setdefault(name, []).append(value)
    return seconds


def describe(error: BaseException) -> str:
    """One line: the kind of error and what it says, shortened."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


def serve(module: str, commands: TextIO, answers: TextIO) -> int:
    """Answers commands until their end; returns the exit code."""

    def answer(content: Mapping[str, Any]) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    try:
        facts, calls = load_module(module).open_peer(json.loads(commands.readline()))
    except Exception as error:  # whatever a foreign library raises is an answer to the parent
        traceback.print_exc()
        answer({"failed": describe(error)})
        return 1
    answer({"ready": facts})
    for line in commands:
        command = json.loads(line)
        try:
            answer({"seconds": time_call(calls[command["call"]], command["runs"])})
        except Exception as error:  # as above
            traceback.print_exc()
            answer({"failed": describe(error)})
    return 0


def main() -> int:
    """Command line. Answers go where standard output went; what libraries print, to the errors."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return serve(sys.argv[1], sys.stdin, answers)


if __name__ == "__main__":
    sys.exit(main())
