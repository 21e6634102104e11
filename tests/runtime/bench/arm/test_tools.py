"""The programs that emulate and model a board: what is missing is named with its package."""

import shutil
import sys

import pytest

from runtime.bench.arm import tools
from runtime.bench.arm.tools import PACKAGES, find_tools, read_version, run_tool
from runtime.errors import RuntimeFault


@pytest.fixture
def everything(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine that has all programs, and what each says of itself."""
    said = {"qemu-aarch64": "version 7.2.22 (Debian)", "llvm-mca-19": "LLVM version 19.1.7"}
    said["aarch64-linux-gnu-g++"] = "12.2.0\n"
    monkeypatch.setattr(tools, "_find", lambda program: program)
    monkeypatch.setattr(tools, "_ask", lambda program, _: said[program])
    return said


def test_what_is_missing_is_named_with_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    there = set(PACKAGES) - {"llvm-mc-19", "llvm-mca-19", "qemu-aarch64"}
    monkeypatch.setattr(tools, "_find", lambda name: name if name in there else None)
    with pytest.raises(RuntimeFault, match="found no qemu-aarch64, llvm-mc-19, llvm-mca-19") as e:
        find_tools()
    assert str(e.value).endswith("apt-get install qemu-user llvm-19")


def test_programs_beside_the_interpreter_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """cmake is there, where the environment is not on the path."""
    monkeypatch.setenv("PATH", "")
    assert tools._find(sys.executable.rpartition("/")[2]) is not None
    assert tools._find("no-such-program") is None


def test_versions_are_told(everything: dict[str, str]) -> None:
    found = find_tools()
    assert found.versions == {"qemu": "7.2.22", "llvm": "19.1.7", "gcc": "12.2.0"}
    assert found["cc"] == "cc"


def test_an_emulator_with_other_plugins_is_refused(everything: dict[str, str]) -> None:
    everything["qemu-aarch64"] = "qemu-aarch64 version 10.0.2"
    with pytest.raises(RuntimeFault, match=r"expected QEMU 7 or 8, .* found 10\.0\.2"):
        find_tools()


def test_other_systems_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(RuntimeFault, match="expected Linux"):
        find_tools()


def test_a_text_without_a_version_is_refused() -> None:
    with pytest.raises(RuntimeFault, match="expected a version, found 'no'"):
        read_version("no")


def test_what_a_program_says_is_kept() -> None:
    shell = shutil.which("sh")
    assert shell is not None
    assert run_tool("sh to work", [shell, "-c", "cat; echo b >&2"], "a") == ("a", "b\n")
    assert run_tool("sh to work", [shell, "-c", "echo $A"], environment={"A": "c"})[0] == "c\n"
    with pytest.raises(RuntimeFault, match="expected sh to work, but it ended with 3: because"):
        run_tool("sh to work", [shell, "-c", "echo because >&2; exit 3"])
    with pytest.raises(RuntimeFault, match=r"expected sh to work within 0\.1 s"):
        run_tool("sh to work", [shell, "-c", "exec sleep 60"], seconds=0.1)
