"""What is read about processes: of this one, of a child, and of one with an odd name."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loadtests.servers.processes import (
    ProcessGone,
    format_bytes,
    list_tree,
    read_cpu_seconds,
    read_usage,
)


def test_own_usage() -> None:
    usage = read_usage(os.getpid())
    assert usage.peak_bytes >= usage.rss_bytes > 2**20
    assert usage.threads >= 1
    with Path("/dev/null").open():
        assert read_usage(os.getpid()).descriptors == usage.descriptors + 1


def test_cpu_time_is_this_process_s_own() -> None:
    before, own = read_cpu_seconds(os.getpid()), time.process_time()
    sum(range(300_000))
    spent, expected = read_cpu_seconds(os.getpid()) - before, time.process_time() - own
    assert spent >= 0
    assert abs(spent - expected) < 0.05 + expected  # reading costs a little itself


def test_children_count() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True
    ) as child:
        assert child.pid in list_tree(os.getpid())
        assert read_usage(os.getpid()).processes >= 2
        child.communicate("\n")
    assert child.pid not in list_tree(os.getpid())


def test_process_that_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with pytest.raises(ProcessGone):
        read_usage(child.pid)
    with pytest.raises(ProcessGone):
        read_cpu_seconds(child.pid)


def test_names_with_blanks_and_brackets(tmp_path: Path) -> None:
    for pid, parent in ((10, 1), (11, 10), (12, 11), (13, 1)):
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "stat").write_text(f"{pid} (a ) S 99 (b) S {parent} 0 0\n")
    (tmp_path / "self").mkdir()
    assert list_tree(10, tmp_path) == [10, 11, 12]


def test_bytes_are_shown_in_mib() -> None:
    assert format_bytes(3 * 2**19) == "1.5"
