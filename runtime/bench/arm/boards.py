"""The boards: how each core is emulated and modelled, and what its system says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CORES = 4  # of either board; one of them runs what is counted


@dataclass(frozen=True)
class Board:
    """A board, its core's name in QEMU, and the model of LLVM that its cycles are taken from.

    part and features are what Linux says in /proc/cpuinfo, which programs choose kernels by.
    """

    name: str
    core: str
    model: str
    part: str
    features: str


BOARDS = {
    "pi4": Board(
        name="Raspberry Pi 4",
        core="cortex-a72",
        model="cortex-a72",
        part="0xd08",
        features="fp asimd evtstrm crc32 cpuid",
    ),
    # LLVM has no model of its own for the A76: its cortex-a76 is the A57's. Neoverse N1 is the A76
    # for servers.
    "pi5": Board(
        name="Raspberry Pi 5",
        core="cortex-a76",
        model="neoverse-n1",
        part="0xd0b",
        features="fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm "
        "lrcpc dcpop asimddp",
    ),
}


def write_system(board: Board, folder: Path) -> tuple[Path, Path]:
    """Writes the board's /proc/cpuinfo and /sys into a folder; their paths.

    QEMU shows the host's, which make LiteRT and ONNX Runtime crash.
    """
    lines = [f"Features\t: {board.features}", "CPU implementer\t: 0x41"]
    lines += ["CPU architecture: 8", "CPU variant\t: 0x0", f"CPU part\t: {board.part}"]
    cpuinfo = folder / "cpuinfo"
    text = "\n".join((*lines, "CPU revision\t: 3"))
    cpuinfo.write_text("".join(f"processor\t: {core}\n{text}\n\n" for core in range(CORES)))
    system = folder / "sys"
    cpus = system / "devices" / "system" / "cpu"
    cpus.mkdir(parents=True, exist_ok=True)
    for name in ("possible", "present", "online"):
        (cpus / name).write_text(f"0-{CORES - 1}\n")
    return cpuinfo, system
