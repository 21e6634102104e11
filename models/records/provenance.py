"""Where figures come from: the revision of the code, and the device that computed."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

import torch

import runtime
from runtime import read_cpuinfo
from runtime.manifest import MANIFEST

COMMIT = "BNN_COMMIT"  # an environment variable: where a copy comes from
#: Folders of the code that a figure depends on: the networks and their training, and what reads
#: images and runs bundles.
CODE = (Path(__file__).resolve().parents[1], Path(runtime.__file__).resolve().parent)
_SOURCES = ("*.py", "*.c", "*.cpp", "*.h", "*.inc", "CMakeLists.txt")


def find_commit(code: Sequence[Path] = CODE) -> str | None:
    """The revision of this code, "+changes" if a source file of it differs or is not in it.

    Of a copy outside of its repository, what the environment's BNN_COMMIT says, or None.
    """
    tracked = _ask_git(code[0], "ls-files", "--error-unmatch", "__init__.py")
    commit = _ask_git(code[0], "rev-parse", "HEAD")
    if not tracked or not commit:
        return os.environ.get(COMMIT) or None
    folders = [os.path.relpath(folder, code[0]) for folder in code]
    sources = [f":(glob){folder}/**/{name}" for folder in folders for name in _SOURCES]
    # None: a folder lies outside of the repository, so that nobody knows what is in it.
    changes = _ask_git(code[0], "status", "--porcelain", "--untracked-files=all", "--", *sources)
    return commit if changes == "" else f"{commit}+changes"


def _ask_git(folder: Path, *arguments: str) -> str | None:
    """What git says in a folder; None where it fails, or there is no git."""
    try:
        answer = subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


class Code(TypedDict):
    """By which code figures were made."""

    commit: str | None
    version: str | None


def describe_code() -> Code:
    """Commit and version of the code that figures are made by."""
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


def digest_manifest(bundle: Path) -> str:
    """12 digits of the SHA-256 of a bundle's manifest, which has the sums of all files."""
    return hashlib.sha256((bundle / MANIFEST).read_bytes()).hexdigest()[:12]
