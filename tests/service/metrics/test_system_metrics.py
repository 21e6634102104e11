"""service.metrics.system_metrics: the process as the kernel counts it, containers of both
versions.
"""

import mmap
import os
import threading
import time
from pathlib import Path

import pytest

from service.metrics.system_metrics import Container, SystemCollector, read_container
from service.system.cgroup import Throttling
from service.system.memory import MemoryReader

MIB = 2**20


def collect(**options: object) -> dict[str, float]:
    """Sample -> value; labels as `name{value}`."""
    return {
        sample.name + "".join(f"{{{value}}}" for value in sample.labels.values()): sample.value
        for family in SystemCollector(**options).collect()  # type: ignore[arg-type]
        for sample in family.samples
    }


def make_container(tmp_path: Path, version: int) -> Path:
    """A /proc/self of a process in a limited container."""
    proc = tmp_path / "proc"
    proc.mkdir()
    groups = tmp_path / "cgroup"
    if version == 2:
        files = {
            "memory.max": str(640 * MIB),
            "memory.current": str(300 * MIB),
            "memory.stat": f"anon 5\ninactive_file {100 * MIB}\n",
            "cpu.max": "150000 100000",
            "cpu.stat": "usage_usec 9\nnr_periods 50\nnr_throttled 7\nthrottled_usec 2500000\n",
        }
        folders = {"": files}
        (proc / "cgroup").write_text("0::/\n")
        kind = f"1 0 0:1 / {groups} rw - cgroup2 cgroup2 rw\n"
    else:
        memory = {
            "memory.limit_in_bytes": str(640 * MIB),
            "memory.usage_in_bytes": str(300 * MIB),
            "memory.stat": f"total_inactive_file {100 * MIB}\n",
        }
        cpu = {
            "cpu.cfs_quota_us": "150000",
            "cpu.cfs_period_us": "100000",
            "cpu.stat": "nr_periods 50\nnr_throttled 7\nthrottled_time 2500000000\n",
        }
        folders = {"memory": memory, "cpu": cpu}
        (proc / "cgroup").write_text("2:memory:/\n1:cpu:/\n")
        kind = "".join(
            f"{i} 0 0:{i} / {groups / name} rw - cgroup cgroup rw,{name}\n"
            for i, name in enumerate(folders)
        )
    (proc / "mountinfo").write_text(kind)
    for folder, files in folders.items():
        (groups / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (groups / folder / name).write_text(text)
    return proc


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_with_limits(tmp_path: Path, version: int) -> None:
    proc = make_container(tmp_path, version)
    assert read_container(proc) == Container(
        640 * MIB, 300 * MIB, 200 * MIB, 1.5, Throttling(50, 7, 2.5)
    )
    values = collect(proc=proc)
    assert {name: values[name] for name in values if name.startswith("bnn_cgroup")} == {
        "bnn_cgroup_memory_limit_bytes": 640 * MIB,
        "bnn_cgroup_memory_usage_bytes": 300 * MIB,
        "bnn_cgroup_memory_working_set_bytes": 200 * MIB,
        "bnn_cgroup_cpu_quota_cpus": 1.5,
        "bnn_cgroup_cpu_periods_total": 50,
        "bnn_cgroup_cpu_throttled_periods_total": 7,
        "bnn_cgroup_cpu_throttled_seconds_total": 2.5,
    }


def test_what_nobody_counts_has_no_sample(tmp_path: Path) -> None:
    assert not [name for name in collect(proc=tmp_path) if name.startswith("bnn_cgroup")]


def test_cpu_time_and_page_faults_grow_with_work() -> None:
    before = collect()
    until = time.process_time() + 0.05
    while time.process_time() < until:
        with mmap.mmap(-1, MIB) as fresh:  # what malloc gives may have been used before
            fresh[:] = bytes(MIB)
    after = collect()
    grown = {name: after[name] - before[name] for name in before if name in after}
    used = grown["bnn_process_cpu_seconds_total{user}"]
    used += grown["bnn_process_cpu_seconds_total{system}"]
    assert used >= 0.04
    assert grown["bnn_process_page_faults_total{minor}"] > 0
    assert grown["bnn_process_page_faults_total{major}"] >= 0
    assert all(
        grown[f"bnn_process_context_switches_total{{{kind}voluntary}}"] >= 0 for kind in ("", "in")
    )


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted on Linux")
def test_threads_are_counted() -> None:
    before = collect()["bnn_process_threads"]
    release = threading.Event()
    threads = [threading.Thread(target=release.wait) for _ in range(20)]
    for thread in threads:
        thread.start()
    during = collect()["bnn_process_threads"]
    release.set()
    for thread in threads:
        thread.join()
    assert during >= before + 15, "other threads may have ended meanwhile"


def test_memory_is_read_by_its_reader() -> None:
    values = collect(memory=MemoryReader(lambda: {"rss": 5, "peak": 7}))
    assert values["bnn_process_memory_bytes{rss}"] == 5
    assert values["bnn_process_memory_bytes{peak}"] == 7
    assert collect(memory=MemoryReader(lambda: {})).get("bnn_process_memory_bytes{rss}") is None
