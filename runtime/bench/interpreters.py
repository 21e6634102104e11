"""Which interpreter runs which peer: their packages get on neither with ours nor each other's."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.measurement.machine import ROOT

# Peer -> the environment that `make bench-peers` makes for it; "" is this interpreter's own.
ENVIRONMENTS = {
    "onnxruntime": "",
    **{name: f".venv-{name}" for name in ("openvino", "litert", "ncnn", "mnn", "larq")},
}
REMEDY = (
    "install it with 'make bench-peers', or name an interpreter that has it: "
    "--peer-python {name}=/path/to/python"
)


def find_interpreters(options: Sequence[str], root: Path = ROOT) -> dict[str, str]:
    """Peer -> path of its interpreter.

    options: NAME=PATH; else the environment of `make bench-peers` where there is one, else this
    interpreter. Raises ValueError for a name that is no peer and a path that is no file.
    """
    found = {}
    for name, folder in ENVIRONMENTS.items():
        python = root / folder / "bin" / "python"
        found[name] = str(python) if folder and python.is_file() else sys.executable
    for option in options:
        name, separator, path = option.partition("=")
        if not separator or name not in ENVIRONMENTS:
            raise ValueError(
                f"expected NAME=PATH with a NAME of {', '.join(ENVIRONMENTS)}, found {option!r}"
            )
        if not Path(path).is_file():
            raise ValueError(
                f"expected the path of the interpreter for {name}, found no file {path!r}; name "
                "one like .venv-openvino/bin/python"
            )
        found[name] = path
    return found


def explain(name: str, reason: object) -> str:
    """Why a peer is not measured, and what to do."""
    return f"{reason}; {REMEDY.format(name=name)}"
