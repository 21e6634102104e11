"""The record of a run, record.json: from what, how, where and with which outcome it was trained.

Reports and curves are made from records alone. A record holds no path of the machine it was made
on. Its keys are described in README.md of this folder.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from models.errors import DataError
from runtime import read_cpuinfo
from runtime.whole_file import write_whole

FORMAT = 1
CONFUSION = "confusion.csv"  # beside the record
COMMIT = "BNN_COMMIT"  # an environment variable: whence a copy comes


def find_commit() -> str | None:
    """The revision of this code, "+changes" if files differ from it.

    Of a copy outside of its repository, what the environment's BNN_COMMIT says, or None.
    """
    folder = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            answer = subprocess.run(
                ["git", "-C", folder, *arguments], capture_output=True, text=True, check=False
            )
        except FileNotFoundError:  # no git here
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    tracked = git("ls-files", "--error-unmatch", Path(__file__).name)
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
    return read_cpuinfo().get("model name") or platform.processor() or platform.machine()


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """At once: see write_whole."""
    text = json.dumps(record, indent=1, allow_nan=False) + "\n"
    with write_whole(path) as stream:
        stream.write(text.encode())


def read_record(path: Path) -> dict[str, Any]:
    """Raises DataError if the file holds no record of this format."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected the record of a run, found {error}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT or "epochs" not in record:
        raise DataError(f"{path}: expected the record of a run, format {FORMAT}; found other JSON")
    return record
