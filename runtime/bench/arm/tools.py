"""The programs of this machine that emulate and model a board, and what to install for them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import RuntimeFault

# Program -> Debian package. QEMU's static programs take no plugins.
PACKAGES = {
    "qemu-aarch64": "qemu-user",
    "cc": "gcc",
    "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu",
    "aarch64-linux-gnu-nm": "binutils-aarch64-linux-gnu",
    "llvm-mc-19": "llvm-19",
    "llvm-mca-19": "llvm-19",
    "mmdebstrap": "mmdebstrap",
    "unshare": "util-linux",
    "cmake": "cmake",
}
QEMU_MAJORS = (7, 8)  # whose plugins have the interface that block_counter.c is written for


@dataclass(frozen=True)
class Tools:
    """Program -> path, and the versions that figures depend on."""

    paths: Mapping[str, str]
    versions: Mapping[str, str]

    def __getitem__(self, program: str) -> str:
        return self.paths[program]


def find_tools() -> Tools:
    """All programs. Raises RuntimeFault that names each missing one and how to install it."""
    if sys.platform != "linux":
        raise RuntimeFault(f"expected Linux, which QEMU's user mode needs; found {sys.platform}")
    paths = {program: _find(program) for program in PACKAGES}
    missing = [program for program, path in paths.items() if path is None]
    if missing:
        packages = " ".join(dict.fromkeys(PACKAGES[program] for program in missing))
        raise RuntimeFault(
            f"expected {', '.join(PACKAGES)}; found no {', '.join(missing)}. Install them, on "
            f"Debian 12: sudo apt-get install {packages}"
        )
    tools = {program: path for program, path in paths.items() if path is not None}
    versions = {
        "qemu": read_version(_ask(tools["qemu-aarch64"], "--version")),
        "llvm": read_version(_ask(tools["llvm-mca-19"], "--version")),
        "gcc": read_version(_ask(tools["aarch64-linux-gnu-g++"], "-dumpfullversion")),
    }
    if int(versions["qemu"].split(".")[0]) not in QEMU_MAJORS:
        raise RuntimeFault(
            f"expected QEMU {' or '.join(map(str, QEMU_MAJORS))}, whose plugins the block counter "
            f"is written for; found {versions['qemu']}. Run this on Debian 12"
        )
    return Tools(tools, versions)


def read_version(text: str) -> str:
    """The first version in what a program says of itself. Raises RuntimeFault if there is none."""
    found = re.search(r"\d+\.\d+(\.\d+)?", text)
    if found is None:
        raise RuntimeFault(f"expected a version, found {text.strip()[:200]!r}")
    return found[0]


def run_tool(
    expected: str,
    command: Sequence[str],
    text: str = "",
    environment: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> tuple[str, str]:
    """Runs it on a text; its output and its messages. Raises RuntimeFault with what it said."""
    try:
        answer = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeFault(f"expected {expected} within {seconds:g} s, found no end") from error
    if answer.returncode:
        said = (answer.stderr.strip() or answer.stdout.strip())[-500:]
        raise RuntimeFault(f"expected {expected}, but it ended with {answer.returncode}: {said}")
    return answer.stdout, answer.stderr


def _find(program: str) -> str | None:
    """On the path, or beside the interpreter, where `make setup` puts cmake."""
    return shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))


def _ask(program: str, option: str) -> str:
    return run_tool(f"{program} {option} to work", [program, option])[0]
