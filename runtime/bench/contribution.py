"""A file with which the owner of a board contributes its speed: figures, and nothing personal."""

from __future__ import annotations

import json
import mmap
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.measurement.machine import describe_machine

SCHEMA = 1
#: Where reports lie in the project.
FOLDER = "runtime/bench/reports"
WHERE = f"To contribute it, open a pull request that adds it to {FOLDER}/."
# Answers as 0x50005. Bits of the low half are now, of the high half since the start.
_THROTTLED = re.compile(r"throttled=(0x[0-9a-fA-F]{1,8})")


def describe_board(root: Path = Path("/")) -> dict[str, Any]:
    """What decides about speed beside the CPU; None where this system does not tell.

    No names of host and user, no addresses, no serial numbers, no paths.
    """
    frequency = root / "sys/devices/system/cpu/cpu0/cpufreq"
    release = _read_pairs(root / "etc/os-release")
    most = _read_number(frequency / "cpuinfo_max_freq")
    return {
        "model": _read(root / "proc/device-tree/model"),
        "governor": _read(frequency / "scaling_governor"),
        "most_mhz": None if most is None else most / 1000,
        "memory_mib": _read_memory(root / "proc/meminfo"),
        "kernel": re.split(r"[^0-9.]", platform.release())[0],  # others' builds bear names
        "page_bytes": mmap.PAGESIZE,
        "os": release.get("PRETTY_NAME"),
    }


def describe_heat(root: Path = Path("/")) -> dict[str, Any]:
    """Temperature in degrees Celsius, and the firmware's word on throttling; None: unknown."""
    heat = _read_number(root / "sys/class/thermal/thermal_zone0/temp")
    return {"celsius": None if heat is None else heat / 1000, "throttled": _ask_firmware()}


def make_report(
    figures: Mapping[str, Any],
    before: Mapping[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """The whole file: what the benchmark measured, where, and what is missing of it."""
    return {
        "schema": SCHEMA,
        "board": describe_board(),
        "machine": describe_machine(),
        "heat": {"before": dict(before), "after": describe_heat()},
        "seconds": round(seconds, 1),
        "left_out": _list_left_out(figures),
        "settings": {k: v for k, v in figures["settings"].items() if k != "cpus"},
        "figures": {
            k: _without_reasons(v) for k, v in figures.items() if k not in ("settings", "machine")
        },
    }


def write_report(report: Mapping[str, Any], path: Path) -> None:
    """Writes it; raises OSError."""
    path.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")


def format_report(report: Mapping[str, Any], path: Path) -> str:
    """A few lines for people."""
    board, heat = report["board"], report["heat"]
    lines = [
        f"{board['model'] or report['machine']['cpu']}, kernels "
        f"{report['machine']['implementation']}, {report['machine']['cores']} cores, "
        f"governor {board['governor'] or 'unknown'}",
        f"heat: {_celsius(heat['before'])} before, {_celsius(heat['after'])} after; throttled: "
        f"{heat['after']['throttled'] or 'unknown'}",
    ]
    for result in report["figures"].get("engines", []):
        for row in result["engines"]:
            lines.append(
                f"{result['network']}, {row['name']}: {row['median_ms']:.2f} ms "
                f"({row['p10_ms']:.2f} to {row['p90_ms']:.2f})"
            )
    lines += [f"left out: {text}" for text in report["left_out"]]
    return "\n".join([*lines, f"{path.name} is written. {WHERE}"])


def _list_left_out(figures: Mapping[str, Any]) -> list[str]:
    """Engines that are not installed here, and the parts that need the whole project."""
    missing = [
        f"{result['network']}: {name}"
        for result in figures.get("engines", [])
        for name in result["not_measured"]
    ]
    return [*missing, "networks with random weights", "peers"]


def _without_reasons(value: Any) -> Any:
    """Without the texts that say why an engine cannot run: they may name files."""
    if isinstance(value, dict):
        return {k: _without_reasons(v) for k, v in value.items() if k != "not_measured"}
    return [_without_reasons(item) for item in value] if isinstance(value, list) else value


def _celsius(heat: Mapping[str, Any]) -> str:
    return "unknown" if heat["celsius"] is None else f"{heat['celsius']:.0f} °C"


def _ask_firmware() -> str | None:
    program = shutil.which("vcgencmd")
    if program is None:
        return None
    try:
        answer = subprocess.run(
            [program, "get_throttled"], capture_output=True, text=True, timeout=5, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):  # no rights on the firmware's device
        return None
    match = _THROTTLED.search(answer)
    return match[1] if match else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def _read_number(path: Path) -> int | None:
    text = _read(path)
    return int(text) if text and text.isdecimal() else None


def _read_pairs(path: Path) -> dict[str, str]:
    lines = (line.partition("=") for line in (_read(path) or "").splitlines())
    return {name: value.strip('"') for name, _, value in lines}


def _read_memory(path: Path) -> int | None:
    match = re.search(r"^MemTotal: +(\d+) kB", _read(path) or "", re.MULTILINE)
    return int(match[1]) // 1024 if match else None
