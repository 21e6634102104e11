"""service.system.cgroup: containers and hosts of both versions, as files and as real groups."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.system.cgroup import (
    Throttling,
    read_cpu_quota,
    read_memory_limit,
    read_memory_usage,
    read_throttling,
    read_working_set,
)

ROOT = Path(__file__).parents[3]
NO_LIMIT_V1 = "9223372036854771712"
READERS = (
    read_cpu_quota,
    read_memory_limit,
    read_memory_usage,
    read_working_set,
    read_throttling,
)


class Machine:
    """A made-up /proc/self and the cgroup trees that it points to."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.folder = folder
        self.proc.mkdir(parents=True)
        self.join()
        self.mounts: list[str] = ["22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"]
        self._write_mounts()

    def join(self, *lines: str) -> None:
        """The groups of the process: lines of /proc/self/cgroup."""
        (self.proc / "cgroup").write_text("".join(f"{line}\n" for line in lines))

    def mount(self, kind: str, name: str, controllers: str = "", root: str = "/") -> Path:
        """Mounts a hierarchy, whose group `root` is at the top; returns the mount point."""
        point = self.folder / name
        point.mkdir(exist_ok=True)
        escaped = str(point).replace(" ", r"\040")
        options = ",".join(["rw", *([controllers] if controllers else [])])
        optional = "shared:9 " if kind == "cgroup2" else ""  # any number of them, also none
        self.mounts.append(
            f"31 23 0:28 {root} {escaped} rw,nosuid {optional}- {kind} {kind} {options}"
        )
        self._write_mounts()
        return point

    def _write_mounts(self) -> None:
        (self.proc / "mountinfo").write_text("".join(f"{line}\n" for line in self.mounts))


def write(group: Path, **files: str) -> None:
    """The files of one group; _ stands for the dot in their names."""
    group.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (group / name.replace("_", ".", 1)).write_text(text)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "a machine")


def test_nothing_is_there(machine: Machine, tmp_path: Path) -> None:
    assert [read(tmp_path / "absent") for read in READERS] == [None] * 5
    assert [read(machine.proc) for read in READERS] == [None] * 5


def test_a_container_of_version_2(machine: Machine) -> None:
    """In a namespace of its own the group is called / and is at the top of the mount."""
    machine.join("0::/")
    write(
        machine.mount("cgroup2", "cgroup"),
        cpu_max="150000 100000\n",
        cpu_stat="usage_usec 1\nnr_periods 40\nnr_throttled 3\nthrottled_usec 2500000\n",
        memory_max="268435456\n",
        memory_current="100000000\n",
        memory_stat="anon 5\ninactive_file 30000000\nactive_file 7\n",
    )
    assert read_cpu_quota(machine.proc) == 1.5
    assert read_memory_limit(machine.proc) == 256 * 2**20
    assert read_memory_usage(machine.proc) == 100_000_000
    assert read_working_set(machine.proc) == 70_000_000
    assert read_throttling(machine.proc) == Throttling(40, 3, 2.5)


def test_a_container_of_version_1(machine: Machine) -> None:
    """The host's names are in /proc, the mount shows the own group at its top."""
    own = "/kubepods/burstable/pod1/abc"
    machine.join(f"4:memory:{own}", f"3:cpuacct,cpu:{own}", "1:name=systemd:/x", "0::/")
    write(
        machine.mount("cgroup", "memory", "memory", own),
        memory_limit_in_bytes=f"{NO_LIMIT_V1}\n",
        memory_usage_in_bytes="1000",
        memory_stat="inactive_file 1\ntotal_inactive_file 400\n"
        "hierarchical_memory_limit 134217728\n",
    )
    write(
        machine.mount("cgroup", "cpu,cpuacct", "cpu,cpuacct", own),
        cpu_cfs_quota_us="200000",
        cpu_cfs_period_us="100000",
        cpu_stat="nr_periods 10\nnr_throttled 2\nthrottled_time 1500000000\n",
    )
    machine.mount("cgroup2", "unified")
    assert read_cpu_quota(machine.proc) == 2.0
    assert read_memory_limit(machine.proc) == 128 * 2**20  # of a group above, which is not seen
    assert read_memory_usage(machine.proc) == 1000
    assert read_working_set(machine.proc) == 600
    assert read_throttling(machine.proc) == Throttling(10, 2, 1.5)


def test_a_service_of_a_host_is_limited_by_its_slice(machine: Machine) -> None:
    machine.join("0::/system.slice/bnn.service")
    top = machine.mount("cgroup2", "cgroup")
    write(top / "system.slice" / "bnn.service", cpu_max="max 100000", memory_max="max")
    write(
        top / "system.slice",
        cpu_max="50000 100000",
        cpu_stat="nr_periods 9\nnr_throttled 8\nthrottled_usec 7\n",
        memory_max="1000000",
    )
    assert read_cpu_quota(machine.proc) == 0.5
    assert read_memory_limit(machine.proc) == 1_000_000
    assert read_throttling(machine.proc) == Throttling(9, 8, 7e-6)  # where the quota is
    assert read_memory_usage(machine.proc) is None


def test_no_limit_is_none(machine: Machine) -> None:
    machine.join("5:cpu:/", "4:memory:/")
    write(machine.mount("cgroup", "memory", "memory"), memory_limit_in_bytes=NO_LIMIT_V1)
    write(machine.mount("cgroup", "cpu", "cpu"), cpu_cfs_quota_us="-1", cpu_cfs_period_us="100000")
    assert read_memory_limit(machine.proc) is None
    assert read_cpu_quota(machine.proc) is None


@pytest.mark.parametrize("text", ["", "nonsense", "max", "1 2 3", "0 0", "100000 0", "-5 100000"])
def test_what_is_no_quota_is_none(machine: Machine, text: str) -> None:
    machine.join("0::/")
    write(machine.mount("cgroup2", "cgroup"), cpu_max=text, memory_max=text, cpu_stat=text)
    assert read_cpu_quota(machine.proc) is None
    assert read_memory_limit(machine.proc) is None
    assert read_throttling(machine.proc) is None


def test_hybrid_hosts_keep_controllers_in_version_1(machine: Machine) -> None:
    machine.join("4:memory:/a", "0::/b")
    write(machine.mount("cgroup", "memory", "memory") / "a", memory_limit_in_bytes="5000")
    write(machine.mount("cgroup2", "unified") / "b", memory_max="10", cpu_max="300000 100000")
    assert read_memory_limit(machine.proc) == 5000
    assert read_cpu_quota(machine.proc) == 3.0  # a controller that version 1 does not have


def test_a_group_outside_of_the_namespace_leaves_the_top_of_the_mount(machine: Machine) -> None:
    top = machine.mount("cgroup2", "cgroup")
    write(top, memory_max="7000")
    write(top.parent / "other", memory_max="1")
    for own in ("/../other", "/gone", "/gone (deleted)"):
        machine.join(f"0::{own}")
        assert read_memory_limit(machine.proc) == 7000


def test_the_last_of_several_mounts_at_one_place_counts(machine: Machine) -> None:
    machine.join("0::/a/b")
    machine.mount("cgroup2", "cgroup", root="/a")
    top = machine.mount("cgroup2", "cgroup")
    write(top / "a" / "b", memory_max="9")
    write(top / "b", memory_max="1")
    assert read_memory_limit(machine.proc) == 9
    machine.mount("tmpfs", "cgroup")
    assert read_memory_limit(machine.proc) is None


def test_the_mount_that_shows_most_groups_counts(machine: Machine) -> None:
    machine.join("0::/a/b")
    write(machine.mount("cgroup2", "host") / "a" / "b", memory_max="9")
    write(machine.mount("cgroup2", "own", root="/a/b"), memory_max="9")
    write(machine.folder / "host" / "a", memory_max="5")
    assert read_memory_limit(machine.proc) == 5


def test_names_are_read_as_the_kernel_writes_them(machine: Machine) -> None:
    machine.join("0::/a b:c/x")
    point = machine.mount("cgroup2", "cgroup", root=r"/a\040b:c")
    write(point / "x", memory_max="3")
    assert read_memory_limit(machine.proc) == 3


_limits = st.one_of(st.none(), st.integers(1, 2**40))


@given(limits=st.lists(_limits, min_size=1, max_size=6), data=st.data())
@pytest.mark.parametrize("version", [1, 2])
def test_the_lowest_visible_limit_counts(
    version: int, limits: list[int | None], data: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """`limits` from the root down to the own group; the mount shows the lower ones."""
    hidden = data.draw(st.integers(0, len(limits) - 1))
    names = [f"level{i}" for i in range(1, len(limits))]
    machine = Machine(tmp_path_factory.mktemp("cgroup") / "m")
    root = "/" + "/".join(names[:hidden])
    own = "/" + "/".join(names)
    file, none = ("memory_max", "max") if version == 2 else ("memory_limit_in_bytes", NO_LIMIT_V1)
    if version == 2:
        machine.join(f"0::{own}")
        group = machine.mount("cgroup2", "mount", root=root)
    else:
        machine.join(f"4:memory:{own}")
        group = machine.mount("cgroup", "mount", "memory", root)
    for depth, limit in enumerate(limits[hidden:]):
        if depth:
            group = group / names[hidden + depth - 1]
        write(group, **{file: none if limit is None else str(limit)})
    visible = [limit for limit in limits[hidden:] if limit is not None]
    assert read_memory_limit(machine.proc) == min(visible, default=None)


@given(membership=st.text(max_size=80), mounts=st.text(max_size=200))
def test_no_content_of_proc_is_an_exception(
    membership: str, mounts: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    proc = tmp_path_factory.mktemp("proc")
    (proc / "cgroup").write_text(f"0::/\n4:memory,cpu:/\n{membership}", errors="replace")
    (proc / "mountinfo").write_text(f"1 2 3 / /nowhere - cgroup2 x\n{mounts}", errors="replace")
    for read in READERS:
        read(proc)


# ---- real groups

_MEMORY, _CPU = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup/cpu")


@pytest.fixture
def make_group() -> Iterator[Callable[..., Path]]:
    """Makes real groups of version 1: make_group(hierarchy, name, file=value); removes them."""
    made: list[Path] = []

    def make(hierarchy: Path, name: str, **files: object) -> Path:
        group = hierarchy / name
        try:
            group.mkdir()
            made.append(group)
            for file, value in files.items():
                (group / file.replace("_", ".", 1)).write_text(str(value))
        except OSError as fault:
            pytest.skip(f"real cgroups of version 1 cannot be made here: {fault}")
        return group

    yield make
    for group in reversed(made):
        group.rmdir()


def run_in(program: str, *groups: Path) -> list[str]:
    """What a Python program prints that has moved itself into the groups before its imports."""
    moves = "".join(f"open({str(group / 'cgroup.procs')!r}, 'w').write('0')\n" for group in groups)
    done = subprocess.run(
        [sys.executable, "-c", moves + "from service.system.cgroup import *\n" + program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_real_memory_group(make_group: Any) -> None:
    name = f"bnn-test-{uuid4().hex}"
    make_group(_MEMORY, name, memory_limit_in_bytes=256 * 2**20)
    inner = make_group(_MEMORY, f"{name}/inner", memory_limit_in_bytes=512 * 2**20)
    program = (
        "before = read_memory_usage()\n"
        "data = b'x' * (32 * 2**20)\n"
        "print(read_memory_limit(), read_memory_usage() - before, read_working_set())\n"
    )
    limit, growth, working = map(int, run_in(program, inner))
    assert limit == 256 * 2**20  # of the outer one
    assert 31 * 2**20 <= growth <= 64 * 2**20
    assert 31 * 2**20 <= working <= 256 * 2**20


def test_a_real_quota_throttles(make_group: Any) -> None:
    name = f"bnn-test-{uuid4().hex}"
    outer = make_group(_CPU, name, cpu_cfs_period_us=50_000, cpu_cfs_quota_us=10_000)
    inner = make_group(_CPU, f"{name}/inner")
    program = (
        "before = read_throttling()\n"
        "while (now := read_throttling()).throttled_periods == before.throttled_periods: pass\n"
        "print(read_cpu_quota(), now.periods, now.throttled_periods, now.throttled_seconds)\n"
    )
    quota, periods, throttled, seconds = run_in(program, inner)
    assert float(quota) == 0.2
    assert int(periods) >= int(throttled) >= 1
    assert float(seconds) > 0
    stat = dict(line.split() for line in (outer / "cpu.stat").read_text().splitlines())
    assert int(stat["nr_throttled"]) >= int(throttled)
