"""Where figures come from: the revision of the code, and the device that computed."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

COMMIT = "BNN_COMMIT"  # an environment variable: whence a copy comes


def find_commit() -> str | None:
    """The revision of this code, "+changes" if files differ from it.

    Of a copy outside of its repository, what the environment's BNN_COMMIT says, or None.
    """
    file = Path(__file__).resolve()
    folder = file.parents[1]

    def git(*arguments: str) -> str | None:
        try:
            answer = subprocess.run(
                ["git", "-C", folder, *arguments], capture_output=True, text=True, check=False
            )
        except FileNotFoundError:  # no git here
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    tracked = git("ls-files", "--error-unmatch", str(file))
    commit = git("rev-parse", "HEAD")
    if not tracked or not commit:
        return os.environ.get(COMMIT) or None
    return commit + ("+changes" if git("status", "--porcelain", "-uno", "--", ".") else "")


def describe_code() -> dict[str, str | None]:
    """Commit and version of this package."""
    try:
        release = version("bnn-service")
    except PackageNotFoundError:
        release = None
    return {"commit": find_commit(), "version": release}


def describe_device(device: torch.device) -> str:
    """The processor's name, of a CPU or a GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    for line in _read_lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _read_lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []
