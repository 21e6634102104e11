"""The system's figures of this process and its container, read when metrics are requested."""

import os
import resource
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from service.metrics.families import make_counter, make_counter_by, make_gauge, make_gauge_by
from service.system import cgroup
from service.system.memory import MemoryReader

_TASKS = Path("/proc/self/task")


@dataclass(frozen=True)
class Container:
    """Limits and use of the container; None: there is no such limit, or it is unknown."""

    memory_limit: int | None
    memory_usage: int | None
    working_set: int | None
    cpu_quota: float | None
    throttling: cgroup.Throttling | None


def read_container(proc: Path = cgroup.PROC) -> Container:
    """The container's figures at this moment."""
    return Container(
        memory_limit=cgroup.read_memory_limit(proc),
        memory_usage=cgroup.read_memory_usage(proc),
        working_set=cgroup.read_working_set(proc),
        cpu_quota=cgroup.read_cpu_quota(proc),
        throttling=cgroup.read_throttling(proc),
    )


class SystemCollector(Collector):
    """Adds to prometheus_client's ProcessCollector: memory by kind, CPU by mode, threads, cgroup.

    `memory` is called at most once per second by its own rule; the rest takes less than a
    millisecond.
    """

    def __init__(self, memory: MemoryReader | None = None, proc: Path = cgroup.PROC) -> None:
        self._memory = memory or MemoryReader()
        self._proc = proc

    def collect(self) -> Iterable[Metric]:
        """The families; those of the container have no sample if there is no limit."""
        yield make_gauge_by(
            "kind", "bnn_process_memory_bytes", "Memory of this process by kind.", self._memory()
        )
        yield from _collect_usage()
        yield make_gauge(
            "bnn_process_threads", "Threads of this process, the kernels' included.", _count_tasks()
        )
        yield from _collect_container(read_container(self._proc))


def _collect_usage() -> Iterable[Metric]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield make_counter_by(
        "mode",
        "bnn_process_cpu_seconds",
        "CPU time of this process by mode.",
        {"user": usage.ru_utime, "system": usage.ru_stime},
    )
    yield make_counter_by(
        "kind",
        "bnn_process_context_switches",
        "Switches to another thread: this one waited (voluntary) or its time was over.",
        {"voluntary": usage.ru_nvcsw, "involuntary": usage.ru_nivcsw},
    )
    yield make_counter_by(
        "kind",
        "bnn_process_page_faults",
        "Pages that were not there: without (minor) and with (major) reading from a disk.",
        {"minor": usage.ru_minflt, "major": usage.ru_majflt},
    )


def _collect_container(found: Container) -> Iterable[Metric]:
    yield make_gauge(
        "bnn_cgroup_memory_limit_bytes",
        "Memory above which the kernel ends processes of the container.",
        found.memory_limit,
    )
    yield make_gauge(
        "bnn_cgroup_memory_usage_bytes",
        "Memory that the container uses, the page cache included.",
        found.memory_usage,
    )
    yield make_gauge(
        "bnn_cgroup_memory_working_set_bytes",
        "Memory in use that cannot simply be dropped; what the limit is about.",
        found.working_set,
    )
    yield make_gauge(
        "bnn_cgroup_cpu_quota_cpus", "CPUs that the container may use in all.", found.cpu_quota
    )
    throttling = found.throttling
    yield make_counter(
        "bnn_cgroup_cpu_periods",
        "Periods of the CPU quota in which the container had work.",
        None if throttling is None else throttling.periods,
    )
    yield make_counter(
        "bnn_cgroup_cpu_throttled_periods",
        "Periods in which the CPU quota was used up.",
        None if throttling is None else throttling.throttled_periods,
    )
    yield make_counter(
        "bnn_cgroup_cpu_throttled_seconds",
        "Time for which the container's threads were held back, summed over the CPUs.",
        None if throttling is None else throttling.throttled_seconds,
    )


def _count_tasks() -> int | None:
    try:
        return len(os.listdir(_TASKS))
    except OSError:  # not Linux
        return None
