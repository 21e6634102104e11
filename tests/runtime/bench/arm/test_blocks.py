"""What the block counter wrote: read back exactly, sorted by heat, refused where it is cut off."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.bench.arm.blocks import (
    WORD,
    Block,
    Runs,
    count_instructions,
    find_hot,
    parse_dump,
    subtract,
)
from runtime.bench.instruction_counts import Instructions
from runtime.errors import RuntimeFault

BLOCKS = st.builds(
    Block,
    st.integers(0, 2**48).map(lambda address: address * WORD),
    st.binary(min_size=1, max_size=5).map(lambda code: code * WORD),
)
SECTIONS = st.dictionaries(BLOCKS, st.integers(1, 2**40), max_size=8).map(Counter)
EOR, LDR, SUBS = bytes.fromhex("001c206e"), bytes.fromhex("e103c03d"), bytes.fromhex("000400f1")


def dump(sections: list[Runs]) -> list[str]:
    lines = ["mark 0\n"]
    for number, runs in enumerate(sections, 1):
        lines.append(f"mark {number}\n")
        lines += [f"{block.address:x} {n} {block.code.hex()}\n" for block, n in runs.items()]
    return lines


@given(st.lists(SECTIONS, min_size=1, max_size=4))
def test_a_dump_is_read_as_it_was_written(sections: list[Runs]) -> None:
    assert parse_dump(dump(sections)) == sections


def test_blocks_translated_twice_are_added_up() -> None:
    line = f"10 3 {EOR.hex()}"
    assert parse_dump(["mark 0", "mark 1", line, line]) == [Counter({Block(16, EOR): 6})]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["mark 0"],
        ["mark 1", "mark 2"],
        ["mark 0", "mark 2"],
        ["10 1 00000000"],
        ["mark 0", "10 1 00000000", "mark 1"],
        ["mark 0", "mark 1", "10 1"],
        ["mark 0", "mark 1", "10 1 000"],
        ["mark 0", "mark 1", "10 one 00000000"],
        ["mark 0", "mark 1", ""],
    ],
)
def test_another_format_is_refused(lines: list[str]) -> None:
    with pytest.raises(RuntimeFault, match="expected"):
        parse_dump(lines)


def test_instructions_are_counted_by_kind() -> None:
    runs = Counter({Block(0, EOR + LDR + SUBS): 5, Block(64, SUBS): 2})
    assert count_instructions(runs) == Instructions(vector=5, vector_memory=5, scalar=7)


@given(SECTIONS, st.floats(0.01, 1))
def test_hot_blocks_are_the_fewest_with_the_share(runs: Runs, share: float) -> None:
    executed = sorted((n * block.instructions for block, n in runs.items()), reverse=True)
    hot = find_hot(runs, share)
    found = [runs[block] * block.instructions for block in hot]
    assert found == executed[: len(found)]
    assert sum(found) >= share * sum(executed)
    assert sum(found[:-1]) < share * sum(executed) or not found
    assert len(set(hot)) == len(hot)


@given(SECTIONS, SECTIONS)
def test_differences_add_up(runs: Runs, less: Runs) -> None:
    difference = subtract(runs, less)
    assert 0 not in difference.values()
    for block in runs | less:
        assert difference[block] + less[block] == runs[block]
