"""The emulated machine: Debian for ARM in a folder, packages, our library, made once."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.bench.arm.boards import Board, write_system
from runtime.bench.arm.symbols import Function, parse_functions
from runtime.bench.arm.tools import Tools, run_tool
from runtime.measurement.machine import ROOT

FOLDER = ROOT / ".build" / "arm-bench"
SUITE, PYTHON = "bookworm", "3.11"  # Debian 12, as Raspberry Pi OS of 2023
DEBIAN = f"deb http://deb.debian.org/debian {SUITE} main"
DEBIAN_PACKAGES = ("python3-minimal", f"libpython{PYTHON}-stdlib", "libstdc++6", "libffi8")
# Lock file -> what is taken from it: what runtime imports; what LiteRT's interpreter needs.
LOCKED = {
    "native": ("numpy", "pillow"),
    "peer-litert": (
        *("ai-edge-litert", "backports-strenum", "flatbuffers", "protobuf", "tqdm"),
        "typing-extensions",
    ),
}
GLIBC_MINORS = (36, 35, 34, 33, 32, 31, 30, 29, 28, 27, 26, 25, 24, 17)  # what wheels may ask for
LIBRARY = "libbnn.so"
# $1: cpuinfo, $2: sys, of the board; the rest is run, in a namespace where these are the machine's.
ENTER = 'mount --bind "$1" /proc/cpuinfo && mount --bind "$2" /sys && shift 2 && exec "$@"'
SECONDS = 3600.0  # for a program on a busy machine


@dataclass(frozen=True)
class Machine:
    """Where its parts are: the root of the system, Python packages, ours, the plugin of QEMU."""

    tools: Tools
    root: Path
    site: Path
    package: Path
    plugin: Path

    @property
    def library(self) -> Path:
        """Our kernel library for ARM, with its symbols."""
        return self.package / "runtime" / LIBRARY

    def run_python(self, board: Board, program: str, *arguments: str, dump: Path) -> None:
        """`python -m PROGRAM ...` as on the board; blocks between marks go to `dump`.

        Raises RuntimeFault with what it said.
        """
        with tempfile.TemporaryDirectory(prefix="bnn-arm-") as folder:
            cpuinfo, system = write_system(board, Path(folder))
            command = [self.tools["unshare"], "--user", "--map-root-user", "--mount"]
            command += ["sh", "-c", ENTER, "sh", str(cpuinfo), str(system), *self._emulator(board)]
            command += ["-plugin", f"{self.plugin},out={dump}"]
            python = self.root / "usr" / "bin" / f"python{PYTHON}"
            run_tool(
                f"{program} to run on an emulated {board.name}",
                [*command, str(python), "-sP", "-m", program, *arguments],
                environment={
                    "PYTHONPATH": os.pathsep.join(map(str, (self.package, self.site))),
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "PYTHONHASHSEED": "0",
                    "OPENBLAS_NUM_THREADS": "1",
                    "PATH": os.environ["PATH"],
                    "LC_ALL": "C.UTF-8",
                },
                seconds=SECONDS,
            )

    def read_functions(self) -> list[Function]:
        """The functions of our library. Raises RuntimeFault."""
        command = [self.tools["aarch64-linux-gnu-nm"], "--demangle", "--print-size"]
        return parse_functions(run_tool("nm to work", [*command, str(self.library)])[0])

    def _emulator(self, board: Board) -> list[str]:
        return [self.tools["qemu-aarch64"], "-L", str(self.root), "-cpu", board.core]


def make_machine(tools: Tools, folder: Path = FOLDER) -> Machine:
    """Whatever is missing or older than its sources is made. Raises RuntimeFault."""
    folder.mkdir(parents=True, exist_ok=True)
    root = _once(folder, "root", f"{DEBIAN} {DEBIAN_PACKAGES}", lambda path: _unpack(tools, path))
    requirements = "".join(
        select_locked((ROOT / ".locks" / f"{lock}.txt").read_text(), names)
        for lock, names in LOCKED.items()
    )
    site = _once(folder, "site", requirements, lambda path: _install(requirements, path))
    plugin = build_plugin(tools, folder)
    return Machine(tools, root, site, _copy_package(build_library(tools, folder), folder), plugin)


def build_plugin(tools: Tools, folder: Path) -> Path:
    """Compiles block_counter.c for this machine. Raises RuntimeFault."""
    plugin, source = folder / "block_counter.so", Path(__file__).with_name("block_counter.c")
    options = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    run_tool("cc to build the plugin", [tools["cc"], *options, str(source), "-o", str(plugin)])
    return plugin


def build_library(tools: Tools, folder: Path) -> Path:
    """Cross-compiles the kernel library, as the wheel for ARM has it. Raises RuntimeFault."""
    sources, build = ROOT / "runtime" / "csrc", folder / "library"
    switches = ["-DBNN_TORCH=OFF", f"-DCMAKE_TOOLCHAIN_FILE={sources / 'aarch64.cmake'}"]
    for command in (
        [tools["cmake"], "-S", str(sources), "-B", str(build), *switches],
        [tools["cmake"], "--build", str(build), "--target", "bnn"],
    ):
        run_tool("cmake to build the kernel library for ARM", command)
    return build / LIBRARY


def select_locked(text: str, names: Sequence[str]) -> str:
    """The entries of a lock file for these packages, hashes and markers included.

    Raises ValueError for a package that is not in it.
    """
    kept, found, is_wanted = [], set(), False
    for line in text.splitlines():
        if not line.startswith((" ", "#")):
            name = re.split(r"[=<> ;\[]", line, maxsplit=1)[0]
            is_wanted = name in names
            found |= {name} & set(names)
        if is_wanted:
            kept.append(line)
    if missing := set(names) - found:
        raise ValueError(f"expected {', '.join(sorted(missing))} in the lock file, found none")
    return "".join(f"{line}\n" for line in kept)


def _once(folder: Path, name: str, key: str, make: Callable[[Path], None]) -> Path:
    """A folder that depends on its key alone; older ones of that name are removed."""
    path = folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    if not path.is_dir():
        for older in folder.glob(f"{name}-*"):
            shutil.rmtree(older)
        unfinished = folder / f"{name}-unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        make(unfinished)
        unfinished.rename(path)
    return path


def _unpack(tools: Tools, path: Path) -> None:
    """Debian's packages; nothing of them is run."""
    command = [tools["mmdebstrap"], "--quiet", "--variant=extract", "--architectures=arm64"]
    command += [f"--include={','.join(DEBIAN_PACKAGES)}", SUITE, str(path), DEBIAN]
    run_tool("mmdebstrap to unpack Debian for ARM", command)


def _install(requirements: str, path: Path) -> None:
    """Wheels for ARM; nothing of them is run."""
    digits = PYTHON.replace(".", "")
    options = ["--python-version", PYTHON, "--implementation", "cp", "--no-deps"]
    options += [w for tag in (f"cp{digits}", "abi3", "none") for w in ("--abi", tag)]
    for minor in GLIBC_MINORS:
        options += ["--platform", f"manylinux_2_{minor}_aarch64"]
    options += ["--platform", "manylinux2014_aarch64", "--only-binary", ":all:"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes"]
        command += ["--disable-pip-version-check", *options, "--target", str(path)]
        run_tool("pip to install wheels for ARM", [*command, "--requirement", file.name])


def _copy_package(library: Path, folder: Path) -> Path:
    """Our Python package with the library in it, as a wheel has it; anew if a file has changed."""
    sources = ROOT / "runtime"
    files = {path.relative_to(sources): path for path in sorted(sources.rglob("*.py"))}
    files[Path(LIBRARY)] = library
    digests = [f"{name} {hashlib.sha256(files[name].read_bytes()).hexdigest()}" for name in files]

    def copy(package: Path) -> None:
        for name, path in files.items():
            target = package / sources.name / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)

    return _once(folder, "package", "\n".join(digests), copy)
