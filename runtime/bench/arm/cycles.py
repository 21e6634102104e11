"""Cycles of a block of code by LLVM's model of a core: no cache misses, no wrong predictions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from runtime.bench.arm.blocks import WORD
from runtime.bench.arm.tools import Tools, run_tool
from runtime.errors import RuntimeFault

ITERATIONS = 100  # of each block, one after another, as in a loop
ARCHITECTURE = "aarch64"
ENCODING = re.compile(r"^\t(.*?)\s*// encoding: \[(.*)\]$")
# A call would be modelled as 100 cycles of latency; what it calls is counted by itself.
BRANCHES = ((re.compile(r"^bl\t"), "b\t"), (re.compile(r"^blr\t"), "br\t"))
RETURN = re.compile(r"^ret(\t.*)?$")


class CoreModel:
    """llvm-mca for one core. What it said of a block is kept."""

    def __init__(self, tools: Tools, core: str) -> None:
        self.core = core
        self._tools = tools
        self._cycles: dict[bytes, float] = {}

    def model(self, codes: Iterable[bytes]) -> Mapping[bytes, float]:
        """Cycles of one run of each block, in the steady state of a loop. Raises RuntimeFault."""
        new = sorted(set(codes) - self._cycles.keys())
        if new:
            texts = self._disassemble({word for code in new for word in split_words(code)})
            program = write_regions([[texts[word] for word in split_words(code)] for code in new])
            command = [
                self._tools["llvm-mca-19"],
                f"--mtriple={ARCHITECTURE}",
                f"--mcpu={self.core}",
            ]
            command += ["--json", f"--iterations={ITERATIONS}"]
            answer, _ = run_tool("llvm-mca to model the blocks", command, program)
            self._cycles |= dict(zip(new, parse_cycles(answer, len(new)), strict=True))
        return self._cycles

    def _disassemble(self, words: set[bytes]) -> dict[bytes, str]:
        """Each instruction as text."""
        ordered = sorted(words)
        given = "\n".join(" ".join(f"0x{byte:02x}" for byte in word) for word in ordered)
        command = [self._tools["llvm-mc-19"], f"--triple={ARCHITECTURE}", f"--mcpu={self.core}"]
        answer, messages = run_tool(
            "llvm-mc to disassemble", [*command, "--disassemble", "--show-encoding"], given
        )
        return parse_disassembly(answer, words, messages)


def split_words(code: bytes) -> list[bytes]:
    """The instructions of a block."""
    return [code[i : i + WORD] for i in range(0, len(code), WORD)]


def parse_disassembly(answer: str, words: set[bytes], messages: str = "") -> dict[bytes, str]:
    """Instruction -> text, of llvm-mc's output. Raises RuntimeFault if one was not understood."""
    texts = {}
    for line in answer.splitlines():
        if found := ENCODING.match(line):
            code = bytes(int(byte, 16) for byte in found[2].split(","))
            texts[code] = without_calls(found[1])
    missing = sorted(word.hex() for word in words - texts.keys())
    if missing:
        raise RuntimeFault(
            f"expected instructions that the core has, found {len(missing)} unknown to LLVM, such "
            f"as {missing[0]} (its bytes). {messages.strip()[:200]}"
        )
    return texts


def without_calls(text: str) -> str:
    """An instruction with calls and returns as plain branches."""
    for call, branch in BRANCHES:
        text = call.sub(branch, text)
    return RETURN.sub("br\tx30", text)


def write_regions(blocks: Iterable[Iterable[str]]) -> str:
    """Blocks of instructions as input of llvm-mca, named by their number."""
    lines = []
    for i, block in enumerate(blocks):
        lines += [f"# LLVM-MCA-BEGIN {i}", *block, f"# LLVM-MCA-END {i}"]
    return "\n".join(lines) + "\n"


def parse_cycles(answer: str, count: int) -> list[float]:
    """Cycles a run of each region, of llvm-mca's JSON. Raises RuntimeFault for another format."""
    try:
        regions = {
            int(region["Name"]): region["SummaryView"]["TotalCycles"]
            / region["SummaryView"]["Iterations"]
            for region in json.loads(answer)["CodeRegions"]
        }
        return [regions[i] for i in range(count)]
    except (KeyError, TypeError, ValueError) as error:
        raise RuntimeFault(
            f"expected llvm-mca's cycles of {count} regions as JSON, found another format "
            f"({type(error).__name__}: {error})"
        ) from error
