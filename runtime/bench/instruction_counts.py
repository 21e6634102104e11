"""Counts the NEON kernels' instructions, emulated: python -m runtime.bench.instruction_counts.

Prints instructions per 128 binary multiply-adds (one vector of bits) of one layer with 64 outputs,
for each kernel family: what a board would have to execute, not how long it takes. Cross-compiles
csrc/measure/instruction_count.cpp and lets qemu-aarch64 log the blocks of code it runs between two
marks. Needs cmake and the Debian packages g++-aarch64-linux-gnu and qemu-user-static.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.kernels.bitpack import GROWTH, TAPS
from runtime.measurement.tables import make_table

SOURCES = Path(__file__).resolve().parents[1] / "csrc"
COMPILER = "aarch64-linux-gnu-g++"
PROGRAM = "bnn_instruction_count"
TITLE = "Instructions per 128 binary multiply-adds, NEON, under emulation."
LAYERS = ((56, 64), (56, 320), (28, 160), (28, 480), (14, 480))  # side of the map, channels
FAMILIES = ("popcount", "sliced")
VECTOR_BITS = 128
MOST_CHANNELS = 3616  # that the bit-sliced family takes


@dataclass(frozen=True)
class Instructions:
    """Executed instructions: vector operations, loads and stores of vectors, the rest."""

    vector: int
    vector_memory: int
    scalar: int

    @property
    def all(self) -> int:
        return self.vector + self.vector_memory + self.scalar


def classify(word: int) -> int:
    """0 for a vector operation, 1 for a vector load or store, 2 for any other instruction.

    By the encoding groups of the A64 instruction set, bits 28..25.
    """
    group = word >> 25 & 0b1111
    if group & 0b0111 == 0b0111:
        return 0
    return 1 if group & 0b0101 == 0b0100 and word >> 26 & 1 else 2


def count_log(lines: Iterable[str], begin: int, end: int) -> Instructions:
    """What a log of `qemu -d in_asm,exec,nochain` says was executed between two functions.

    A block is listed once, behind "IN:", with the encoding of each instruction, and named by its
    address in a "Trace" line each time it runs. `begin` itself runs before counting starts.
    """
    blocks: dict[int, list[int]] = {}
    runs: Counter[int] = Counter()
    block: list[int] = []
    is_counting = ended = False
    for line in lines:
        if line.startswith("0x"):
            place, word = line.split()[:2]
            if not block:
                blocks[int(place.rstrip(":"), 16)] = block
            block.append(classify(int(word, 16)))
        elif line.startswith("IN:"):
            block = []
        elif line.startswith("Trace"):
            address = int(line.split("/", 2)[1], 16)
            ended = ended or (is_counting and address == end)
            is_counting = (is_counting or address == begin) and not ended
            if is_counting and address != begin:
                runs[address] += 1
    if not ended:
        raise ValueError("expected a log of both marks; the emulator's format is another one")
    kinds = [0, 0, 0]
    for address, times in runs.items():
        for kind in blocks[address]:
            kinds[kind] += times
    return Instructions(*kinds)


def find_emulator() -> str:
    """The emulator's command. Raises FileNotFoundError that names the package."""
    for name in ("qemu-aarch64-static", "qemu-aarch64"):
        if shutil.which(name):
            return name
    raise FileNotFoundError(
        "expected qemu-aarch64-static, found none; install the Debian package qemu-user-static"
    )


def build_program(folder: Path) -> Path:
    """Cross-compiles the counted program. Raises FileNotFoundError where a tool is missing."""
    for tool, package in (("cmake", "cmake"), (COMPILER, "g++-aarch64-linux-gnu")):
        if shutil.which(tool) is None:
            raise FileNotFoundError(
                f"expected {tool}, found none; install the Debian package {package}"
            )
    switches = ["-DBNN_TORCH=OFF", "-DBNN_SELFTEST=ON", f"-DCMAKE_CXX_COMPILER={COMPILER}"]
    switches += ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64"]
    switches += ["-DCMAKE_EXE_LINKER_FLAGS=-static"]
    for command in (
        ["cmake", "-S", str(SOURCES), "-B", str(folder), *switches],
        ["cmake", "--build", str(folder), "--target", PROGRAM],
    ):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / PROGRAM


def count_instructions(program: Path, *arguments: str) -> Instructions:
    """What one run of the program executes between its marks."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        command = [find_emulator(), "-d", "in_asm,exec,nochain", "-D", str(log)]
        answer = subprocess.run(
            [*command, str(program), *arguments], capture_output=True, text=True, check=True
        )
        begin, end = (int(address, 16) for address in answer.stdout.split())
        with log.open() as lines:
            return count_log(lines, begin, end)


def count_layer(program: Path, family: str, side: int, channels: int) -> Instructions:
    """One layer with 64 outputs on a square map."""
    shape = (str(side), str(side), str(channels))
    if family == "popcount":
        return count_instructions(program, family, *shape)
    with tempfile.TemporaryDirectory() as folder:
        lists = str(Path(folder, "lists"))
        make = [find_emulator(), str(program), "lists", *shape, lists]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        return count_instructions(program, family, *shape, lists)


def format_table(program: Path, layers: Sequence[tuple[int, int]]) -> str:
    """Instructions per 128 binary multiply-adds."""
    names = ("vector", "vector loads and stores", "all")
    heads = ["layer", *(f"{family}: {name}" for family in FAMILIES for name in names)]
    rows = []
    for side, channels in layers:
        vectors = side * side * GROWTH * TAPS * channels / VECTOR_BITS
        cells = [f"{side}x{side}x{channels}"]
        for family in FAMILIES:
            found = count_layer(program, family, side, channels)
            for count in (found.vector, found.vector_memory, found.all):
                cells.append(f"{count / vectors:.2f}")
        rows.append(cells)
    return make_table(heads, rows)


def parse_layer(text: str) -> tuple[int, int]:
    """Side of the map and channels of "20x320". Raises argparse.ArgumentTypeError."""
    match = re.fullmatch(r"(\d{1,2})x(\d{2,4})", text)
    side, channels = map(int, match.groups()) if match else (0, 0)
    if not 1 <= side <= 64 or not 32 <= channels <= MOST_CHANNELS or channels % 32:
        raise argparse.ArgumentTypeError(
            f"expected a side of 1 to 64 and a multiple of 32 channels, up to {MOST_CHANNELS}, "
            f"such as 20x320; found {text}"
        )
    return side, channels


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m runtime.bench.instruction_counts", description=TITLE
    )
    parser.add_argument("--build", type=Path, help="folder of the build (default: a temporary one)")
    parser.add_argument(
        "--layer",
        action="append",
        type=parse_layer,
        metavar="SIDExCHANNELS",
        help="such as 20x320; may be repeated (default: some of the networks')",
    )
    args = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            print(format_table(build_program(args.build or Path(folder)), args.layer or LAYERS))
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
