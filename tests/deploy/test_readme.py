"""deploy/README.md: its table has the limits of the files that it is about."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

Limits = tuple[str, str, str]
UNITS = {"m": 1, "M": 1, "Mi": 1, "Gi": 1024}


def count_mib(size: str) -> str:
    """Of a size as Docker, systemd and Kubernetes write it."""
    match = re.fullmatch(r"(\d+)([mMGi]+)", size)
    assert match, size
    return str(int(match[1]) * UNITS[match[2]])


def read_pod(k8s: Path, overlay: str) -> Limits:
    """What the base says, and then the overlay."""
    memory, cpus, seconds = "", "", ""
    for name in ("base/deployment.yaml", overlay):
        pod: dict[str, Any] = yaml.safe_load((k8s / name).read_text())["spec"]["template"]["spec"]
        limits = pod["containers"][0]["resources"]["limits"]
        memory, cpus = limits.get("memory", memory), limits.get("cpu", cpus)
        seconds = pod.get("terminationGracePeriodSeconds", seconds)
    return count_mib(memory), str(cpus), str(seconds)


def read_composed(service: dict[str, Any]) -> Limits:
    cpus, seconds = service["cpus"], service["stop_grace_period"].removesuffix("s")
    return count_mib(service["mem_limit"]), f"{cpus:g}", seconds


def read_unit(text: str) -> Limits:
    values = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    assert "CPUQuota" not in values
    return count_mib(values["MemoryHigh"]), "all", values["TimeoutStopSec"]


@pytest.fixture(scope="module")
def found(repository: Path) -> dict[str, set[Limits]]:
    """Way -> limits by its own files."""
    k8s = repository / "k8s"
    composed = yaml.safe_load((repository / "compose.yaml").read_text())["services"]
    unit = (repository / "deploy/raspberry-pi/bnn-service.service").read_text()
    return {
        "compose.yaml": {read_composed(composed["meliusnet"])},
        "k8s/base": {read_pod(k8s, "base/deployment.yaml")},
        "k8s/overlays/baseline": {
            read_pod(k8s, "overlays/baseline/memory.yaml"),
            read_composed(composed["baseline"]),
        },
        "k8s/overlays/cloud": {read_pod(k8s, "overlays/cloud/deployment.yaml")},
        "k8s/overlays/raspberry-pi": {read_pod(k8s, "overlays/raspberry-pi/deployment.yaml")},
        "deploy/raspberry-pi": {read_unit(unit)},
    }


def test_limits_are_told_as_they_are(repository: Path, found: dict[str, set[Limits]]) -> None:
    text = (repository / "deploy/README.md").read_text()
    rows = re.findall(r"^\| `(.*?)`.* \| (\d+) MiB \| (\w+) \| (\d+) s \|$", text, re.MULTILINE)
    assert {way: {tuple(limits)} for way, *limits in rows} == found


def test_each_folder_is_in_the_table(repository: Path) -> None:
    text = (repository / "deploy/README.md").read_text()
    folders = {path.name for path in (repository / "deploy").iterdir() if path.is_dir()}
    assert folders == set(re.findall(r"\[[\w -]+\]\(([\w-]+)/README\.md\)", text))
