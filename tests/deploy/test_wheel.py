"""The wheels that `make wheel` and `make wheel-arm64` write: tags, contents and libraries."""

import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from runtime.kernels.installed import find_file
from tests.conftest import HAVE_TORCH
from tests.deploy.elf import Binary

TARGETS = {"x86_64": "wheel", "aarch64": "wheel-arm64"}
MACHINES = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}
TAG = "manylinux_2_34"
# What that tag promises: Debian 12, Ubuntu 22.04, RHEL 9 and all later ones have it.
NEWEST = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13)}
SYSTEM = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6"}
LOADER = {"x86_64": "ld-linux-x86-64.so.2", "aarch64": "ld-linux-aarch64.so.1"}
PAGES = {"x86_64": [4096], "aarch64": [4096, 16384, 65536]}


@pytest.fixture(scope="module", params=["x86_64", "aarch64"])
def machine(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if name != platform.machine():
        if name != "aarch64":
            pytest.skip("a wheel for x86-64 is built on x86-64 only")
        if shutil.which("aarch64-linux-gnu-g++") is None:
            pytest.skip("aarch64-linux-gnu-g++ (package g++-aarch64-linux-gnu) is not installed")
    return name


@pytest.fixture(scope="module")
def wheel(repository: Path, machine: str) -> Path:
    """The wheel, just built."""
    environment = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MFLAGS"}}
    answer = subprocess.run(
        ["make", TARGETS[machine]],
        cwd=repository,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    (found,) = (repository / "dist").glob(f"bnn_service-*{machine}.whl")
    assert answer.stdout.splitlines()[-1] == f"dist/{found.name}"
    return found


@pytest.fixture(scope="module")
def binaries(wheel: Path) -> dict[str, Binary]:
    """Name -> library, of all in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".so" in Path(name).name]
        return {name: Binary(archive.read(name)) for name in names}


@pytest.mark.deploy
def test_tag_promises_an_old_system(repository: Path, wheel: Path, machine: str) -> None:
    version = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["version"]
    assert wheel.name == f"bnn_service-{version}-py3-none-{TAG}_{machine}.whl"
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"bnn_service-{version}.dist-info/WHEEL").decode()
    assert re.findall(r"^Tag: (.*)$", text, re.MULTILINE) == [f"py3-none-{TAG}_{machine}"]


@pytest.mark.deploy
def test_wheel_holds_what_serving_needs(wheel: Path, machine: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"runtime", "service"}
    operators = machine == platform.machine() and HAVE_TORCH
    assert ("runtime/libbnn_torch.so" in names) == operators
    page = {f"service/page{name}" for name in (".html", ".css", ".js", "_camera.js")}
    for name in ("runtime/libbnn.so", "service/bundles/default/manifest.json", *page):
        assert name in names
    assert not [name for name in names if "csrc" in name or name.endswith(".pyc")]


@pytest.mark.deploy
def test_libraries_need_no_more_than_the_tag_promises(
    binaries: dict[str, Binary], machine: str
) -> None:
    assert binaries
    own = {Path(name).name for name in binaries} | {"libtorch_cpu.so"}
    for name, binary in binaries.items():
        assert binary.machine == MACHINES[machine], name
        assert binary.needed <= SYSTEM | own | {LOADER[machine]}, name
        assert ("libtorch_cpu.so" in binary.needed) == name.endswith("libbnn_torch.so")
        for family, newest in NEWEST.items():
            found = binary.newest(family)
            print(f"{machine} {name}: {family} {'.'.join(map(str, found))}")
            assert found <= newest, f"{name}: {family}"


@pytest.mark.deploy
def test_libraries_load_with_every_page_size(binaries: dict[str, Binary], machine: str) -> None:
    for name, binary in binaries.items():
        for size in PAGES[machine]:
            assert binary.loads_with_pages_of(size), f"{name}: pages of {size}"


WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; "
RUN = "from service.command_line import run; sys.exit(run(['self-test', '--engine', '{engine}']))"


@pytest.mark.deploy
def test_one_wheel_serves_with_and_without_torch(wheel: Path, machine: str, tmp_path: Path) -> None:
    if machine != platform.machine():
        pytest.skip("another machine's wheel: tests/deploy/test_raspberry_pi.py runs it")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    programs = {"native": WITHOUT_TORCH + RUN.format(engine="native")}
    if HAVE_TORCH:
        programs["torchscript"] = "import sys; " + RUN.format(engine="torchscript")
    for engine, program in programs.items():
        answer = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,  # comes before the checkout that .venv knows
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        assert answer.stdout.startswith(f"{engine}/")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has ELF files")
def test_this_checkouts_library_needs_no_more_of_the_system() -> None:
    binary = Binary(find_file("libbnn.so").read_bytes())
    assert binary.needed <= SYSTEM | set(LOADER.values())
    assert binary.newest("GLIBC") > (2,)
    for size in PAGES.get(platform.machine(), [4096]):
        assert binary.loads_with_pages_of(size)
