"""deploy/raspberry-pi/install: what it refuses, installs, keeps and takes away, on this machine."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "deploy/raspberry-pi"
# Stands in for systemctl: it notes what it is asked for, and fails where a file says so.
SYSTEMCTL = """#!/bin/sh
echo "$*" >>"$PI/systemctl"
case $* in restart*) [ ! -e "$PI/broken" ] ;; esac
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the script is for Linux")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    """A folder as it is copied to a Pi, and programs that answer as a Pi's would."""
    tools = tmp_path / "tools"
    tools.mkdir()
    answers = {"uname": 'case $1 in -m) echo "${MACHINE:-aarch64}" ;; *) echo Linux ;; esac'}
    answers["getconf"] = 'echo "${BITS:-64}"'
    for name, answer in answers.items():
        (tools / name).write_text(f"#!/bin/sh\n{answer}\n")
    (tools / "systemctl").write_text(SYSTEMCTL)
    for tool in tools.iterdir():
        tool.chmod(0o755)
    copy = tmp_path / "copy"
    shutil.copytree(FOLDER, copy)
    (copy / "wheels").mkdir()
    (copy / "requirements.txt").write_text("")
    (tmp_path / "running").mkdir()
    for name in ("units", "links"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def run(pi: Path) -> Run:
    """Runs the script of the copied folder."""

    def run_script(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        places = {
            name: str(pi / name.lower()) for name in ("UNITS", "SETTINGS", "LINKS", "RUNNING")
        }
        return subprocess.run(
            [pi / "copy/install", "--prefix", pi / "opt", "--python", sys.executable, *options],
            env={
                "PATH": f"{pi / 'tools'}:{os.environ['PATH']}",
                "PI": str(pi),
                "BNN_INSTALL_HIDDEN": "/nowhere",  # these tests lie in /tmp
                **{f"BNN_INSTALL_{name}": place for name, place in places.items()},
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    return run_script


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("the service is installed by root alone")


def make_wheel(folder: Path, version: str, status: int = 0) -> None:
    """A small wheel of the name: its program tells its version, and how its self-test went."""
    for old in folder.glob("bnn_service-*.whl"):
        old.unlink()
    info = f"bnn_service-{version}.dist-info"
    program = (
        "import sys\n"
        "def main():\n"
        "    if sys.argv[1] == 'self-test':\n"
        f"        print('native/test: exact'); return {status}\n"
        f"    print('bnn-service {version}')\n"
    )
    files = {
        "bnn_stand_in.py": program,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: bnn-service\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nbnn-service = bnn_stand_in:main\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"bnn_service-{version}-py3-none-any.whl", "w") as archive:
        for name, text in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(name, text)


@pytest.fixture
def wheels(pi: Path) -> Path:
    """The folder of wheels: a stand-in of ours, pip as this Python has it, a name of NumPy's."""
    folder = pi / "copy/wheels"
    make_wheel(folder, "1.0")
    source = next(Path(entry) / "pip" for entry in sys.path if (Path(entry) / "pip").is_dir())
    with zipfile.ZipFile(folder / "pip-1-py3-none-any.whl", "w") as archive:
        for path in source.rglob("*"):
            if "__pycache__" not in path.parts:
                archive.write(path, path.relative_to(source.parent))
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    (folder / f"numpy-2-{python}-{python}-linux_x86_64.whl").touch()
    return folder


def test_shellcheck_finds_nothing(repository: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed: make system-test-tools")
    scripts = [FOLDER / "install", *(repository / ".ci").iterdir()]
    shell = [path for path in scripts if re.match(r"#!.*sh\n", path.read_text())]
    assert {path.name for path in shell} >= {"install", "preflight", "run", "build-wheel"}
    answer = subprocess.run(["shellcheck", *shell], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout


def test_help_lists_every_option(run: Run) -> None:
    answer = run("--help")
    assert answer.returncode == 0
    text = (FOLDER / "install").read_text()
    for option in ("wheels", "prefix", "python", "onnx", "online", "no-service", "uninstall"):
        assert f"--{option}" in answer.stdout
        assert f"--{option})" in text or f"--{option} |" in text


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"MACHINE": "armv7l"}, "expected a 64-bit system (aarch64); found a 32-bit one (armv7l)"),
        ({"MACHINE": "armv6l"}, "found a 32-bit one (armv6l)"),
        ({"BITS": "32"}, "found 32-bit programs on a 64-bit kernel (getconf LONG_BIT)"),
    ],
)
def test_a_32_bit_system_is_refused(run: Run, variables: dict[str, str], found: str) -> None:
    answer = run(**variables)
    assert answer.returncode == 1
    assert found in answer.stderr
    assert 'Write "Raspberry Pi OS (64-bit)" on the card' in answer.stderr


@pytest.mark.parametrize(
    ("options", "variables", "found"),
    [
        ([], {"MACHINE": "x86_64"}, "found x86_64"),
        (["--faster"], {}, "found '--faster'"),
        (["--wheels"], {}, "expected a value behind --wheels; found none"),
        (["--prefix", "opt"], {}, "expected an absolute path behind --prefix; found 'opt'"),
        (["--prefix", "/"], {}, "expected an absolute path behind --prefix; found '/'"),
        (["--prefix", "/a b"], {}, "expected a prefix of letters"),
        (["--prefix", "/opt/../home/x"], {}, "expected a --prefix without ..; found"),
        (["--python", "no-such-python"], {}, "found no command no-such-python"),
        (["--no-service"], {}, "bnn_service-*.whl"),
    ],
)
def test_what_does_not_fit_is_refused(
    run: Run, pi: Path, options: list[str], variables: dict[str, str], found: str
) -> None:
    answer = run(*options, **variables)
    assert answer.returncode == 1
    assert found in answer.stderr
    assert not (pi / "opt").exists()


def test_an_old_python_is_refused(run: Run, pi: Path) -> None:
    old = pi / "tools/python3.9"
    old.write_text("#!/bin/sh\ncase $1 in --version) echo Python 3.9.2 ;; *) exit 1 ;; esac\n")
    old.chmod(0o755)
    answer = run("--python", "python3.9")
    assert "expected Python 3.11 or newer; found Python 3.9.2" in answer.stderr


def test_a_system_without_systemd_is_refused(run: Run, pi: Path) -> None:
    (pi / "running").rmdir()
    answer = run()
    assert "expected a system that systemd runs; found no running systemd" in answer.stderr
    assert "--no-service" in answer.stderr


def test_a_damaged_copy_is_refused(run: Run, pi: Path, wheels: Path) -> None:
    (pi / "copy/SHA256SUMS").write_text(f"{'0' * 64}  ./settings.toml\n")
    answer = run("--no-service")
    assert answer.returncode == 1
    assert "settings.toml: FAILED" in answer.stdout
    assert not (pi / "opt").exists()


def test_another_python_needs_other_wheels(run: Run, wheels: Path) -> None:
    next(wheels.glob("numpy-*")).rename(wheels / "numpy-2-cp39-cp39-linux_x86_64.whl")
    answer = run("--no-service")
    assert "make raspberry-pi PI_PYTHONS=" in answer.stderr
    assert "--online" in answer.stderr


def test_a_folder_of_somebody_else_is_left_alone(run: Run, pi: Path, wheels: Path) -> None:
    (pi / "opt").mkdir()
    (pi / "opt/letter").touch()
    answer = run("--no-service")
    assert "to be new, or installed by this script" in answer.stderr
    assert [path.name for path in (pi / "opt").iterdir()] == ["letter"]


@pytest.mark.parametrize(
    ("pythons", "onnx", "found"),
    [
        ("3.11 3.10", "no", "expected PI_PYTHONS as versions of Python, 3.11 or newer; found"),
        ("", "no", "found ''"),
        ("3.11", "perhaps", "expected PI_ONNX=yes or no; found 'perhaps'"),
    ],
)
def test_a_folder_for_no_such_python_is_not_collected(
    repository: Path, tmp_path: Path, pythons: str, onnx: str, found: str
) -> None:
    command = [repository / ".ci/collect-raspberry-pi", sys.executable, pythons, onnx]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert found in answer.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["/home", "/root", "/run/user", "/tmp", "/var/tmp", "/dev"])
def test_a_place_that_the_unit_hides_is_refused(
    run: Run, pi: Path, wheels: Path, place: str
) -> None:
    need_root()
    answer = run("--prefix", f"{place}/no-such-folder", BNN_INSTALL_HIDDEN="")
    assert answer.returncode == 1
    assert f"found {place}/no-such-folder, which its unit hides" in answer.stderr
    assert not (pi / "systemctl").exists()


def test_a_place_that_cannot_be_written_to_is_refused(run: Run, pi: Path, wheels: Path) -> None:
    (pi / "file").touch()
    (pi / "locked").mkdir(mode=0o555)
    for place in ["file"] + ["locked"] * (os.geteuid() != 0):
        answer = run("--no-service", "--prefix", f"{pi}/{place}/deep/below")
        assert answer.returncode == 1
        assert f"found {pi}/{place}/deep/below, and {pi}/{place} is no such place." in answer.stderr
        assert "--prefix" in answer.stderr


@pytest.mark.slow
def test_without_a_service_nothing_of_systemd_is_touched(run: Run, pi: Path, wheels: Path) -> None:
    answer = run("--no-service")
    assert answer.returncode == 0, answer.stderr
    assert "self-test: native/test: exact" in answer.stdout
    assert "installed: bnn-service 1.0" in answer.stdout
    assert not (pi / "systemctl").exists()
    assert not list((pi / "units").iterdir())


@pytest.mark.slow
def test_install_twice_update_and_uninstall(run: Run, pi: Path, wheels: Path) -> None:
    need_root()
    program = pi / "opt/bin/bnn-service"
    answer = run()
    assert answer.returncode == 0, answer.stderr
    unit = (pi / "units/bnn-service.service").read_text()
    assert f"ExecStart={program} --config" in unit
    assert "/opt/bnn-service/" not in unit
    assert (pi / "links/bnn-service").resolve() == program.resolve()
    asked = (pi / "systemctl").read_text().splitlines()
    assert asked[:3] == [
        "daemon-reload",
        "--quiet enable bnn-service.service",
        "restart bnn-service.service",
    ]
    settings = pi / "settings/settings.toml"
    assert settings.read_text() == (FOLDER / "settings.toml").read_text()
    settings.write_text("port = 9000\n")
    first = program.resolve()

    make_wheel(wheels, "2.0")
    for _ in range(2):
        answer = run()
        assert answer.returncode == 0, answer.stderr
        assert "installed: bnn-service 2.0" in answer.stdout
    assert not first.exists()
    assert len(list((pi / "opt/releases").iterdir())) == 1
    assert settings.read_text() == "port = 9000\n"

    answer = run("--uninstall")
    assert answer.returncode == 0, answer.stderr
    assert not (pi / "opt").exists()
    assert not list((pi / "units").iterdir())
    assert not list((pi / "links").iterdir())
    assert settings.read_text() == "port = 9000\n"
    assert run("--uninstall").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["self-test", "start"])
def test_a_release_that_fails_leaves_the_one_before(
    run: Run, pi: Path, wheels: Path, fault: str
) -> None:
    need_root()
    assert run().returncode == 0
    program = pi / "opt/bin/bnn-service"
    first = program.resolve()
    make_wheel(wheels, "2.0", status=1 if fault == "self-test" else 0)
    if fault == "start":
        (pi / "broken").touch()
    answer = run()
    assert answer.returncode != 0
    assert program.resolve() == first
    assert len(list((pi / "opt/releases").iterdir())) == 1
    assert ("is used again" in answer.stderr) == (fault == "start")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout == "bnn-service 1.0\n"


@pytest.mark.slow
def test_a_first_release_that_does_not_start_is_taken_away(
    run: Run, pi: Path, wheels: Path
) -> None:
    need_root()
    (pi / "broken").touch()
    answer = run()
    assert answer.returncode != 0
    assert "journalctl -u bnn-service.service" in answer.stderr
    assert not list((pi / "units").iterdir())
    assert not list((pi / "opt/releases").iterdir())
    assert not (pi / "opt/bin").is_symlink()
