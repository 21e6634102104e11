"""runtime.allocator: large blocks go back to the system when freed, the rest when trimmed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import return_freed_memory, trim_memory

# Frees many blocks below the mapped size in a thread, as a worker does, and prints resident MiB
# before, with them, after freeing, after trimming.
PROGRAM = """
import gc, os, sys, threading
from runtime import return_freed_memory, trim_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20

def work(found):
    found.append(resident())
    size, count = eval(sys.argv[2])
    blocks = [bytearray(b"x") * size for _ in range(count)]
    if sys.argv[3] == "kept":
        keep = bytearray(b"x") * 1000  # above the others in its arena: it keeps them from going
    found.append(resident())
    del blocks
    found.append(resident())
    trim_memory()
    found.append(resident())

if sys.argv[1] == "tuned":
    assert return_freed_memory()
found = []
thread = threading.Thread(target=work, args=(found,))
thread.start()
thread.join()
print(*found)
"""
MIB = 2**20


def measure(tuned: bool, size: int, count: int, kept: bool = True) -> list[int]:
    """Resident MiB: before, with the blocks, after they are freed, after trimming.

    kept: a block that is not freed lies above them.
    """
    arguments = ["tuned" if tuned else "as it is", repr((size, count)), "kept" if kept else "free"]
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    return [int(word) for word in output.split()]


@pytest.fixture(autouse=True)
def _on_glibc() -> None:
    if sys.platform != "linux" or "glibc" not in str(os.confstr("CS_GNU_LIBC_VERSION")):
        pytest.skip("another C library than glibc: there is nothing to set")


def test_large_blocks_go_back_when_they_are_freed() -> None:
    before, full, freed, _ = measure(True, 9 * MIB, 8)
    assert full - before >= 70
    assert freed - before <= 10


def test_the_rest_goes_back_when_it_is_trimmed() -> None:
    before, full, _, trimmed = measure(True, MIB // 4, 200)
    assert full - before >= 45
    assert trimmed - before <= 10


def test_the_free_top_of_a_thread_s_memory_goes_back_too() -> None:
    before, full, _, trimmed = measure(True, MIB // 4, 56, kept=False)  # less than is kept at once
    assert full - before >= 12
    assert trimmed - before <= 4


def test_trimming_says_whether_there_was_anything() -> None:
    assert trim_memory() in (True, False)


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not return_freed_memory()
    assert not trim_memory()
