"""Runs a Python program as another x86-64 CPU would, under qemu; skips where that is missing."""

import os
import platform
import shutil
import subprocess
import sys

import pytest

NO_VNNI = "Haswell"  # AVX2, but neither VNNI nor AVX-512: most PCs, Zen 3
NO_AVX = "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt"  # what NumPy needs at least


def run_python(cpu: str, program: str) -> str:
    """What the program prints. It finds the packages that this process finds."""
    emulator = shutil.which("qemu-x86_64-static") or shutil.which("qemu-x86_64")
    if platform.machine() != "x86_64" or emulator is None:
        pytest.skip("qemu-x86_64 (package qemu-user-static) is not installed, or not on x86-64")
    answer = subprocess.run(
        [emulator, "-cpu", cpu, os.path.realpath(sys.executable), "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout
