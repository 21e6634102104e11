"""Cycles by llvm-mca: what goes in, what comes out, and chains whose cycles are known."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.bench.arm import tools
from runtime.bench.arm.cycles import (
    CoreModel,
    parse_cycles,
    parse_disassembly,
    split_words,
    without_calls,
    write_regions,
)
from runtime.bench.arm.tools import Tools
from runtime.errors import RuntimeFault

FMLA, SDOT = bytes.fromhex("20cc224e"), bytes.fromhex("2094824e")  # on vectors 0, 1 and 2
CALL, RETURN = bytes.fromhex("0a000094"), bytes.fromhex("c0035fd6")
ANSWER = """\t.text
\tfmla\tv0.4s, v1.4s, v2.4s             // encoding: [0x20,0xcc,0x22,0x4e]
\tbl\t#40                             // encoding: [0x0a,0x00,0x00,0x94]
"""


def regions(cycles: list[int], iterations: int = 100) -> str:
    summary = [{"TotalCycles": n, "Iterations": iterations} for n in cycles]
    found = [{"Name": str(i), "SummaryView": view} for i, view in enumerate(summary)]
    return json.dumps({"CodeRegions": found})


def test_instructions_are_found_by_their_bytes() -> None:
    texts = parse_disassembly(ANSWER, {FMLA, CALL})
    assert texts == {FMLA: "fmla\tv0.4s, v1.4s, v2.4s", CALL: "b\t#40"}


def test_an_instruction_that_llvm_does_not_know_is_told() -> None:
    with pytest.raises(RuntimeFault, match="found 1 unknown to LLVM, such as 2094824e"):
        parse_disassembly(ANSWER, {FMLA, SDOT})


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("bl\t#40", "b\t#40"),
        ("blr\tx9", "br\tx9"),
        ("ret", "br\tx30"),
        ("ret\tx9", "br\tx30"),
        ("b.ne\t#4", "b.ne\t#4"),
        ("bic\tv0.16b, v0.16b, v1.16b", "bic\tv0.16b, v0.16b, v1.16b"),
    ],
)
def test_calls_become_branches(text: str, plain: str) -> None:
    assert without_calls(text) == plain


def test_blocks_become_regions() -> None:
    text = write_regions([["nop"], ["nop", "isb"]])
    assert text.splitlines() == [
        *("# LLVM-MCA-BEGIN 0", "nop", "# LLVM-MCA-END 0"),
        *("# LLVM-MCA-BEGIN 1", "nop", "isb", "# LLVM-MCA-END 1"),
    ]


@given(st.lists(st.integers(1, 10**9), max_size=9))
def test_cycles_are_those_of_one_run(cycles: list[int]) -> None:
    assert parse_cycles(regions(cycles), len(cycles)) == [n / 100 for n in cycles]


@pytest.mark.parametrize("answer", ["", "{}", "[]", regions([1]), '{"CodeRegions": [{}, {}]}'])
def test_another_format_is_refused(answer: str) -> None:
    with pytest.raises(RuntimeFault, match="expected llvm-mca's cycles of 2 regions"):
        parse_cycles(answer, 2)


def find_llvm() -> Tools:
    """llvm-mc and llvm-mca; skips where one is missing."""
    paths = {name: tools._find(name) for name in ("llvm-mc-19", "llvm-mca-19")}
    if None in paths.values():
        pytest.skip("llvm-mca-19 (package llvm-19) is not installed")
    return Tools({name: str(path) for name, path in paths.items()}, {})


@pytest.mark.parametrize("core", ["cortex-a72", "neoverse-n1"])
def test_a_chain_takes_the_latency_of_its_links(core: str) -> None:
    """Multiply-adds into one register: 4 cycles each on both cores, as two chains side by side.

    ARM's guides have shorter ones for sums that are passed on early, which the models leave out.
    """
    llvm = find_llvm()
    other = bytes.fromhex("24cc224e")  # into vector 4
    cycles = CoreModel(llvm, core).model([FMLA, FMLA * 4, FMLA + other])
    assert cycles[FMLA] == pytest.approx(4, rel=0.05)
    assert cycles[FMLA * 4] == pytest.approx(16, rel=0.05)
    assert cycles[FMLA + other] == pytest.approx(4, rel=0.05)


def test_calls_are_no_chains() -> None:
    """A call by llvm-mca's own model would take 100 cycles."""
    model = CoreModel(find_llvm(), "neoverse-n1")
    assert model.model([CALL + RETURN])[CALL + RETURN] < 10


def test_an_older_core_has_no_dot_products() -> None:
    llvm = find_llvm()
    assert CoreModel(llvm, "neoverse-n1").model([SDOT])[SDOT] > 0
    with pytest.raises(RuntimeFault, match="unknown to LLVM"):
        CoreModel(llvm, "cortex-a72").model([SDOT])


def test_what_was_modelled_is_not_modelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = CoreModel(find_llvm(), "neoverse-n1")
    before = dict(model.model([FMLA]))
    monkeypatch.setattr(CoreModel, "_disassemble", None)
    assert model.model([FMLA]) == before


def test_a_block_is_its_instructions() -> None:
    assert split_words(FMLA + SDOT) == [FMLA, SDOT]
