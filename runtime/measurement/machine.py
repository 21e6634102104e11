"""The machine of a measurement, its used CPUs, and the environment of child processes."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from runtime.cpu import read_cpuinfo
from runtime.engines.engine import FORCE_IMPLEMENTATION
from runtime.errors import RuntimeFault
from runtime.kernels import library

ROOT = Path(__file__).resolve().parent.parent.parent


def describe_machine() -> dict[str, Any]:
    """CPU, cores, kernels, system and versions: without them a latency means nothing."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "cores_allowed": len(cpus) if (cpus := allowed_cpus()) else None,
        "implementation": library.active(),
        "forced": bool(os.environ.get(FORCE_IMPLEMENTATION)),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": _versions("bnn-service", "numpy", "torch", "onnxruntime"),
    }


def format_machine(machine: Mapping[str, Any]) -> str:
    """The first lines of a report."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    allowed = machine["cores_allowed"] or machine["cores"]
    return (
        f"{machine['cpu']} ({machine['system']}), {allowed} of {machine['cores']} cores, "
        f"kernels {machine['implementation']}\nPython {machine['python']}, {packages}"
    )


def allowed_cpus() -> list[int]:
    """CPUs that this thread may run on, in order; empty if the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@contextmanager
def pinned(count: int, cpus: Sequence[int] = ()) -> Iterator[list[int]]:
    """Keeps this thread, and the threads and processes it starts meanwhile, on `count` CPUs.

    They are the first of `cpus`, or the last that are allowed: the first ones serve interrupts.
    Yields them; empty where the system cannot pin. Raises RuntimeFault if there are too few.
    """
    before = allowed_cpus()
    if not before and not cpus:
        yield []
        return
    if not set(cpus) <= set(before):
        raise RuntimeFault(
            f"expected CPUs out of {_list(before)}, found {_list(cpus)}; name others with --cpus"
        )
    chosen = list(cpus or reversed(before))[:count]
    if len(chosen) < count:
        raise RuntimeFault(
            f"expected at least {count} CPUs for {count} threads, found {_list(chosen)}; allow or "
            "name more (--cpus), or measure with fewer threads"
        )
    os.sched_setaffinity(0, chosen)
    try:
        yield chosen
    finally:
        os.sched_setaffinity(0, before)


def environment_of_children() -> dict[str, str]:
    """The environment in which a child process finds the packages that this process uses."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def show_progress(text: str) -> None:
    """Shows one line on a terminal, overwritten by each call; nothing without a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def name_cpus(cpus: Sequence[int]) -> str:
    """The CPUs for a line of a report."""
    return f"CPU {_list(cpus)}" if cpus else "not pinned"


def _list(cpus: Sequence[int]) -> str:
    return ", ".join(map(str, cpus)) or "none"


def _cpu_name() -> str:
    fields = read_cpuinfo()
    return fields.get("model name") or fields.get("Model") or platform.processor() or "unknown"


def _versions(*packages: str) -> dict[str, str]:
    versions = {}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
