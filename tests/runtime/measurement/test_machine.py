"""The machine's description, the CPUs a thread is kept on, the environment of children."""

import os
import sys
from pathlib import Path

import pytest
import torch

from runtime.errors import RuntimeFault
from runtime.kernels import library
from runtime.measurement import machine
from runtime.measurement.machine import (
    allowed_cpus,
    describe_machine,
    environment_of_children,
    format_machine,
    name_cpus,
    pinned,
    show_progress,
)

needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system cannot keep a thread on a CPU"
)


def test_machine_is_named() -> None:
    found = describe_machine()
    assert found["cpu"] not in ("", "unknown")
    assert found["cores"] >= (found["cores_allowed"] or 1) >= 1
    assert found["implementation"] == library.active()
    assert found["packages"]["torch"] == torch.__version__
    assert set(found["packages"]) == {"bnn-service", "numpy", "torch", "onnxruntime"}
    text = format_machine(found)
    for part in (found["cpu"], f"kernels {library.active()}", torch.__version__):
        assert part in text


def test_package_that_is_missing_is_named_as_such() -> None:
    assert machine._versions("no-such-package") == {"no-such-package": "not installed"}


def test_children_find_these_packages(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    path = environment_of_children()["PYTHONPATH"].split(":")
    assert path == [str(Path(machine.__file__).resolve().parents[2]), "elsewhere"]


@needs_affinity
def test_thread_is_kept_on_the_last_cpus_for_a_while() -> None:
    before = allowed_cpus()
    with pinned(1) as cpus:
        assert cpus == before[-1:]
        assert allowed_cpus() == cpus
    assert allowed_cpus() == before


@needs_affinity
def test_cpus_can_be_named() -> None:
    first = allowed_cpus()[0]
    with pinned(1, [first]) as cpus:
        assert cpus == [first] == allowed_cpus()


@needs_affinity
def test_cpus_are_freed_after_an_error() -> None:
    before = allowed_cpus()
    with pytest.raises(ZeroDivisionError), pinned(1):
        raise ZeroDivisionError
    assert allowed_cpus() == before


@needs_affinity
def test_too_few_cpus_are_an_error() -> None:
    with pytest.raises(RuntimeFault, match="expected at least 9999 CPUs for 9999 threads"):
        pinned(9999).__enter__()
    with pytest.raises(RuntimeFault, match=r"expected CPUs out of .*found 9998; name others"):
        pinned(1, [9998]).__enter__()


def test_system_that_cannot_pin_leaves_threads_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    with pinned(2) as cpus:
        assert cpus == []


def test_cpus_are_named() -> None:
    assert name_cpus([]) == "not pinned"
    assert name_cpus([3, 4]) == "CPU 3, 4"


@pytest.mark.parametrize("watched", [True, False])
def test_progress_is_for_terminals(
    watched: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: watched, raising=False)
    show_progress("half")
    assert capsys.readouterr().err == ("\r\033[Khalf" if watched else "")
