"""service.system.memory: the kernel's figures, and how often they are read."""

import os
import sys
from pathlib import Path

import pytest

from service.system.memory import MemoryReader, read_machine_memory, read_memory


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_reads_this_process() -> None:
    memory = read_memory()
    assert memory.keys() == {"rss", "pss", "anonymous", "peak"}
    assert 2**20 < memory["pss"] <= memory["rss"] <= memory["peak"] + 2**20
    assert memory["anonymous"] <= memory["rss"]


def test_what_the_kernel_does_not_tell_is_absent(tmp_path: Path) -> None:
    assert read_memory(tmp_path) == {}
    (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t    2 kB\n")
    assert read_memory(tmp_path) == {"peak": 2048}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_the_memory_of_the_machine() -> None:
    (line,) = [
        line for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line
    ]
    assert read_machine_memory() == int(line.split()[1]) * 1024


def test_a_system_that_does_not_tell_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> int:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "sysconf", unknown)
    assert read_machine_memory() is None
    monkeypatch.delattr(os, "sysconf")
    assert read_machine_memory() is None


def test_is_read_at_most_once_a_second() -> None:
    now, reads = [100.0], []

    def read() -> dict[str, int]:
        reads.append(now[0])
        return {"rss": len(reads)}

    reader = MemoryReader(read, lambda: now[0])
    assert reader() == reader() == {"rss": 1}
    now[0] += 0.9
    assert reader() == {"rss": 1}
    now[0] += 0.2
    assert reader() == {"rss": 2}
