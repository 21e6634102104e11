"""The machine that figures are for, without which a latency means nothing."""

import os
import platform
from pathlib import Path
from typing import Any

from runtime import CPUINFO, read_cpuinfo

# Features that matter to the kernels, as /proc/cpuinfo names them.
_FEATURES = (
    *("avx2", "fma", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni"),
    *("avx512_vpopcntdq", "avx512_bf16", "asimd", "asimddp"),
)


def describe_machine(cpuinfo: Path = CPUINFO) -> dict[str, Any]:
    """CPU by name, family and model, its instruction sets, CPUs, load average, Python."""
    fields = read_cpuinfo(cpuinfo)
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return {
        "cpu": fields.get("model name", platform.processor() or platform.machine()),
        "family": fields.get("cpu family", ""),
        "model": fields.get("model", fields.get("CPU part", "")),
        "features": [name for name in _FEATURES if name in flags],
        "cpus": os.cpu_count(),
        "load_average": read_load(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def read_load() -> list[float]:
    """The load average of 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def format_machine(machine: dict[str, Any], load_after: list[float]) -> str:
    """One paragraph."""
    before, after = machine["load_average"][0], load_after[0]
    return (
        f"{machine['cpu']}, family {machine['family'] or '-'} model {machine['model'] or '-'} "
        f"({' '.join(machine['features']) or 'no known features'}), {machine['cpus']} CPUs, "
        f"{machine['system']}, generator's Python {machine['python']}. Load average of a "
        f"minute before and after: {before:g}, {after:g}."
    )
