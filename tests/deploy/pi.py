"""A Raspberry Pi's programs on this machine: Debian for ARM in a folder, emulated processors."""

import os
import platform
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

#: What Raspberry Pi OS Lite has and the install script or Python need.
PACKAGES = ("base-files", "dash", "coreutils", "libc-bin", "grep", "sed", "python3", "libstdc++6")
NEED = {
    "mmdebstrap": "mmdebstrap",
    "qemu-aarch64-static": "qemu-user-static",
    "qemu-arm-static": "qemu-user-static",
    "unshare": "util-linux",
}
# The beginning of an ELF file for the machine, what of it counts, and its emulator.
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
_ZEROS = r"\x00" * 8
_FORMATS = {
    "aarch64": rf"\x7fELF\x02\x01\x01\x00{_ZEROS}\x02\x00\xb7\x00",
    "arm": rf"\x7fELF\x01\x01\x01\x00{_ZEROS}\x02\x00\x28\x00",
}
# In namespaces of its own, so that the machine does not change: since Linux 6.7 each user namespace
# has its own list of foreign formats. $1: the root; then the formats to register, --, the command.
_ENTER = """
set -e
root=$1; shift
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
while [ "$1" != -- ]; do printf '%s' "$1" >/proc/sys/fs/binfmt_misc/register; shift; done
shift
mount -t proc proc "$root/proc"
mount --bind "$root/etc/cpuinfo" "$root/proc/cpuinfo"
mount --rbind /dev "$root/dev"
exec chroot "$root" "$@"
"""
# The emulator shows the host's /proc/cpuinfo, which programs that look there would believe.
_PARTS = {"cortex-a72": "0xd08", "cortex-a76": "0xd0b"}
_FEATURES = {
    "cortex-a72": "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid",
    "cortex-a76": "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid "
    "asimdrdm lrcpc dcpop asimddp",
}


def require_tools() -> None:
    """Skips, naming the packages, where a tool is missing or the kernel is too old."""
    if platform.system() != "Linux":
        pytest.skip("only Linux runs foreign programs so")
    missing = {package for tool, package in NEED.items() if shutil.which(tool) is None}
    if missing:
        pytest.skip(f"packages are not installed: {', '.join(sorted(missing))}")
    enter = "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc"
    answer = subprocess.run(
        [*_unshare(), "sh", "-c", enter], capture_output=True, text=True, check=False
    )
    if answer.returncode:
        pytest.skip(
            "no user namespace with foreign formats of its own (Linux 6.7 or newer): "
            + answer.stderr.strip()
        )


def _unshare() -> list[str]:
    return [
        *("unshare", "--user", "--map-root-user", "--mount"),
        *("--pid", "--fork", "--mount-proc", "--kill-child"),
    ]


@dataclass(frozen=True)
class Board:
    """What is emulated: the processor and the size of the kernel's pages, in bytes."""

    name: str
    cpu: str
    page_size: int


PI_4 = Board("Raspberry Pi 4", "cortex-a72", 4096)
PI_5 = Board("Raspberry Pi 5", "cortex-a76", 16384)


class EmulatedPi:
    """A root file system of Debian for ARM, whose programs can be run as on a board."""

    def __init__(self, root: Path, board: Board, machine: str = "aarch64") -> None:
        self.root = root
        self.board = board
        emulator = shutil.which(f"qemu-{machine}-static")
        self._format = f":pi:M::{_FORMATS[machine]}:{_MASK}:{emulator}:F"

    def unpack_debian(self, suite: str, architecture: str) -> None:
        """Unpacks Debian's packages; nothing of them is run. Raises CalledProcessError."""
        subprocess.run(
            [
                *("mmdebstrap", "--quiet", "--variant=extract", f"--architectures={architecture}"),
                *(f"--include={','.join(PACKAGES)}", suite, self.root),
                f"deb http://deb.debian.org/debian {suite} main",
            ],
            check=True,
        )
        for name in ("proc", "sys", "run/systemd/system", "etc/systemd/system", "usr/local/bin"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        systemctl = self.root / "usr/local/bin/systemctl"  # no systemd runs here
        systemctl.write_text('#!/bin/sh\necho "$*" >>/var/log/systemctl\n')
        systemctl.chmod(0o755)

    def start(
        self, command: Sequence[str], network: bool = False, **environment: str
    ) -> subprocess.Popen[str]:
        """Starts the command as root of the Pi, with pipes. Without `network`, it has none."""
        cpu = self.board.cpu
        lines = [f"Features\t: {_FEATURES[cpu]}", "CPU implementer\t: 0x41"]
        lines.append(f"CPU part\t: {_PARTS[cpu]}")
        (self.root / "etc/cpuinfo").write_text("processor\t: 0\n" + "\n".join(lines) + "\n")
        return subprocess.Popen(
            [
                *(_unshare() + ([] if network else ["--net"])),
                *("sh", "-c", _ENTER, "sh", str(self.root), self._format, "--", *command),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
                "HOME": "/root",
                "LC_ALL": "C.UTF-8",
                "QEMU_CPU": cpu,
                "QEMU_PAGESIZE": str(self.board.page_size),
                **environment,
            },
        )

    def run(self, command: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs the command to its end, without a network."""
        process = self.start(command, **environment)
        out, err = process.communicate()
        return subprocess.CompletedProcess(list(command), process.returncode, out, err)


def terminate(process: subprocess.Popen[str]) -> None:
    """Sends SIGTERM to the emulated program itself: unshare's child, which has become it."""
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGTERM)
