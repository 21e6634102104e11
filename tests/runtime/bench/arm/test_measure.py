"""From what the counter wrote to figures: sums of runs times cycles, by function and by part."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from runtime.bench.arm.blocks import Block, Runs
from runtime.bench.arm.boards import BOARDS, Board
from runtime.bench.arm.cycles import CoreModel
from runtime.bench.arm.emulated import ENDS, WHOLE
from runtime.bench.arm.machine import Machine
from runtime.bench.arm.measure import describe, name_sections, run_network, split_prefixes
from runtime.bench.arm.symbols import Function, Symbols
from runtime.errors import RuntimeFault

EOR, SUBS = bytes.fromhex("001c206e"), bytes.fromhex("000400f1")
LIBRARY = Path("/pi/libbnn.so")
MAPS = (
    f"1000-9000 r-xp 00000000 fe:00 25   {LIBRARY}\na000-b000 r-xp 0 fe:00 26   /usr/bin/python\n"
)
FUNCTIONS = [Function(0, 0x100, "sum_group"), Function(0x100, 0x200, "pool_row")]


class HalfACycle(CoreModel):
    """Every instruction takes half a cycle."""

    def __init__(self) -> None:
        self.asked: set[bytes] = set()

    def model(self, codes: Iterable[bytes]) -> Mapping[bytes, float]:
        found = set(codes)
        self.asked |= found
        return {code: len(code) / 8 for code in found}


@pytest.fixture
def symbols() -> Symbols:
    return Symbols(MAPS, str(LIBRARY), FUNCTIONS)


def test_runs_times_cycles_are_added_up(symbols: Symbols) -> None:
    runs = Counter(
        {
            Block(0x1000, EOR * 4): 100,
            Block(0x1010, EOR + SUBS): 50,
            Block(0x1100, SUBS): 30,
            Block(0xA000, SUBS): 1,
        }
    )
    model = HalfACycle()
    found = describe(runs, model, symbols)
    assert found["instructions"] == {"vector": 450, "vector_memory": 0, "scalar": 81, "all": 531}
    assert found["functions"] == [
        {"name": "sum_group", "instructions": 500, "cycles": 250},
        {"name": "pool_row", "instructions": 30, "cycles": 15},
    ]
    assert found["cycles"] == 265
    assert found["modelled_share"] == pytest.approx(530 / 531)
    assert len(model.asked) == 3  # the last block is not among the hot ones


def test_nothing_takes_nothing(symbols: Symbols) -> None:
    found = describe(Counter(), HalfACycle(), symbols)
    assert (found["cycles"], found["functions"], found["modelled_share"]) == (0, [], 0)


def test_what_runs_in_between_is_left_out() -> None:
    a, b = Counter({Block(0, EOR): 1}), Counter({Block(0, EOR): 2})
    assert name_sections(["a", ENDS, "b"], [a, Counter(), b]) == {"a": a, "b": b}
    with pytest.raises(RuntimeFault, match="expected 1 sections, found marks of 2"):
        name_sections(["a"], [a, b])


def test_parts_are_differences_of_prefixes() -> None:
    first, second = Block(0, EOR), Block(4, SUBS)
    prefixes = {"stem": Counter({first: 3}), "stage1": Counter({first: 5, second: 7})}
    assert split_prefixes(prefixes) == {
        "stem": Counter({first: 3}),
        "stage1": Counter({first: 2, second: 7}),
    }


def dump_of(sections: list[Runs]) -> str:
    lines = ["mark 0"]
    for i, runs in enumerate(sections, 1):
        lines += [f"mark {i}", *(f"{b.address:x} {n} {b.code.hex()}" for b, n in runs.items())]
    return "\n".join(lines)


class Recorded:
    """A machine that has run everything already."""

    library = LIBRARY

    def __init__(self) -> None:
        self.options: list[dict[str, Any]] = []

    def read_functions(self) -> list[Function]:
        return FUNCTIONS

    def run_python(self, board: Board, program: str, given: str, dump: Path) -> None:
        assert (board.name, program) == ("Raspberry Pi 4", "runtime.bench.arm.emulated")
        options = json.loads(given)
        self.options.append(options)
        out = Path(options["out"])
        stem, whole = Counter({Block(0x1000, EOR): 10}), Counter({Block(0x1000, EOR): 16})
        dump.write_text(dump_of([whole, Counter(), stem, Counter(), whole]))
        (out / "maps").write_text(MAPS)
        sections = [WHOLE, ENDS, "stem", ENDS, "head"]
        (out / "facts.json").write_text(json.dumps({"version": "neon", "sections": sections}))
        np.save(out / "answer.npy", np.ones((1, 2), np.float32))


def test_a_network_has_figures_parts_and_an_answer() -> None:
    machine = Recorded()
    options = {"engine": "native", "model": "m", "parts": True}
    found, logits = run_network(cast(Machine, machine), BOARDS["pi4"], HalfACycle(), options)
    assert logits.tolist() == [[1, 1]]
    assert (found["version"], found["cycles"]) == ("neon", 8)
    parts = [(part["name"], part["cycles"]) for part in found["parts"]]
    assert parts == [("stem", 5), ("head", 3)]
    assert {key: machine.options[0][key] for key in options} == options
