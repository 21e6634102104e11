"""Memory by kind: of this process and a child, and of hand-made files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.servers.processes import ProcessGone
from loadtests.servers.smaps import (
    Memory,
    list_libraries,
    read_mapped,
    read_memory,
    read_peak,
    reset_peak,
)

MIB = 2**20


def test_kinds_add_up() -> None:
    found = read_memory(os.getpid())
    kinds = found.private_dirty + found.private_clean + found.shared_clean + found.shared_dirty
    assert abs(found.rss - kinds) <= 64 * 1024  # it lives meanwhile
    assert 0 < found.pss <= found.rss


def test_written_memory_is_the_process_s_own() -> None:
    before = read_memory(os.getpid())
    block = bytearray(b"x") * (64 * MIB)
    grown = read_memory(os.getpid()) - before
    assert grown.rss >= 60 * MIB
    assert grown.private_dirty >= 60 * MIB
    assert len(block) == 64 * MIB


def test_peak_begins_anew() -> None:
    block = bytearray(b"x") * (64 * MIB)
    del block
    high = read_peak(os.getpid())
    reset_peak(os.getpid())
    assert read_peak(os.getpid()) <= high - 32 * MIB


def test_children_count() -> None:
    own = read_memory(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", "print(1, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert read_memory(os.getpid()).rss - own.rss >= 2 * MIB
        child.communicate("\n")


def test_process_that_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    for read in (read_memory, read_peak, lambda pid: read_mapped(pid, "python")):
        with pytest.raises(ProcessGone, match="has ended"):
            read(child.pid)
    assert list_libraries(child.pid) == set()


def test_libraries_are_named() -> None:
    assert any(name.startswith("libc") for name in list_libraries(os.getpid()))
    assert "libtorch_cpu.so" not in list_libraries(os.getpid()) or "torch" in sys.modules


def test_pages_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "smaps").write_text(
        "5600-5700 r--p 00000000 08:01 11 /a/weights\nRss:      8 kB\nPss:      8 kB\n"
        "5700-5800 rw-p 00000000 00:00 0 \nRss:     16 kB\n"
        "5800-5900 r--p 00000000 08:01 12 /a/other weights\nRss:     32 kB\n"
        "5900-5a00 r--p 00001000 08:01 11 /a/weights\nRss:      4 kB\n"
    )
    assert read_mapped(7, "weights", tmp_path) == 12 * 1024
    assert read_mapped(7, "none", tmp_path) == 0


def test_arithmetic() -> None:
    one, two = Memory(rss=3, private_dirty=2), Memory(rss=1, pss=5)
    assert one + two == Memory(rss=4, pss=5, private_dirty=2)
    assert (one + two) - two == one
    assert sum([one, two], Memory()) == one + two
