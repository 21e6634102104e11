"""What the block counter wrote: how often each block of code ran between two marks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from runtime.bench.instruction_counts import Instructions, classify
from runtime.errors import RuntimeFault

WORD = 4  # bytes of an instruction
HOT = 0.99  # of all instructions run: those of the blocks whose cycles are modelled


class Block(NamedTuple):
    """Instructions that run one after another, and the address of the first."""

    address: int
    code: bytes

    @property
    def instructions(self) -> int:
        return len(self.code) // WORD


Runs = Counter[Block]  # block -> how often it ran


def parse_dump(lines: Iterable[str]) -> list[Runs]:
    """The file of block_counter.c: what ran from the first mark to the second, and so on.

    A block that the emulator translated twice is added up. Raises RuntimeFault for another format.
    """
    sections: list[Runs] = []
    for line in lines:
        words = line.split()
        try:
            if words[0] == "mark" and int(words[1]) == len(sections):
                sections.append(Counter())
            else:
                address, runs, code = words
                sections[-1][Block(int(address, 16), bytes.fromhex(code))] += int(runs)
        except (IndexError, ValueError):
            raise RuntimeFault(
                f"expected 'mark {len(sections)}' or address, runs and code of a block, found "
                f"{line[:80]!r}: the emulated program was cut off, or its marks are out of order"
            ) from None
    if len(sections) < 2:
        raise RuntimeFault(f"expected two marks or more, found {len(sections)}")
    if sections[0]:
        raise RuntimeFault("expected nothing before the first mark, found blocks")
    return sections[1:]


def count_instructions(runs: Runs) -> Instructions:
    """Executed instructions by their kind."""
    kinds = [0, 0, 0]
    for block, times in runs.items():
        for i in range(0, len(block.code), WORD):
            kinds[classify(int.from_bytes(block.code[i : i + WORD], "little"))] += times
    return Instructions(*kinds)


def subtract(runs: Runs, less: Runs) -> Runs:
    """What ran more often than in another run; below zero where it ran less often."""
    return Counter({b: n for b in runs | less if (n := runs[b] - less[b])})


def find_hot(runs: Runs, share: float = HOT) -> list[Block]:
    """The fewest blocks with that share of all executed instructions, the hottest first."""
    executed = {block: times * block.instructions for block, times in runs.items()}
    wanted, hot, done = share * sum(executed.values()), [], 0
    for block in sorted(executed, key=lambda block: (-executed[block], block)):
        if done >= wanted:
            break
        hot.append(block)
        done += executed[block]
    return hot
