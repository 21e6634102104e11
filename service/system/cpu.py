"""The processor for this process: the number of usable CPUs and the features."""

import os
from pathlib import Path

from runtime import CPUINFO, read_cpuinfo
from service.system.cgroup import PROC, read_cpu_quota

# The features that decide which kernels can run, as Linux names them on x86-64 and on ARM.
_FEATURES = (
    "popcnt",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_vpopcntdq",
    "avx512_bitalg",
    "avx512_vnni",
    "asimd",
    "asimddp",
    "atomics",
    "fphp",
)


def count_cpus(proc: Path = PROC) -> int:
    """The number of CPUs that this process may use: its affinity mask, cut by a container's quota.

    At least 1. `os.cpu_count()` ignores both; with a quota, a pool of that size is throttled.
    """
    on_linux = hasattr(os, "sched_getaffinity")
    cpus = len(os.sched_getaffinity(0)) if on_linux else os.cpu_count() or 1
    quota = read_cpu_quota(proc)
    return max(1, cpus if quota is None else min(cpus, int(quota)))


def read_cpu_features(cpuinfo: Path = CPUINFO) -> list[str]:
    """The features of this CPU that matter to the kernels; empty where Linux does not list them."""
    fields = read_cpuinfo(cpuinfo)
    present = set(fields.get("flags", fields.get("Features", "")).split())
    return [feature for feature in _FEATURES if feature in present]


def read_cpu_model(cpuinfo: Path = CPUINFO) -> str | None:
    """The processor's name as Linux reports it; None where it does not."""
    return read_cpuinfo(cpuinfo).get("model name")
