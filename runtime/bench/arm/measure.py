"""One network on one board: instructions and modelled cycles of an inference, and where they go."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from runtime.bench.arm.blocks import Runs, count_instructions, find_hot, parse_dump, subtract
from runtime.bench.arm.boards import Board
from runtime.bench.arm.cycles import CoreModel
from runtime.bench.arm.emulated import ENDS, WHOLE
from runtime.bench.arm.machine import Machine
from runtime.bench.arm.symbols import Symbols
from runtime.errors import RuntimeFault

PROGRAM = "runtime.bench.arm.emulated"


def run_network(
    machine: Machine, board: Board, model: CoreModel, options: Mapping[str, Any]
) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    """Figures of the inference, and its logits; options as in emulated.py, without `out`.

    Raises RuntimeFault.
    """
    with tempfile.TemporaryDirectory(prefix="bnn-arm-") as name:
        folder = Path(name)
        dump = folder / "dump"
        given = json.dumps({**options, "out": name})
        machine.run_python(board, PROGRAM, given, dump=dump)
        facts = json.loads((folder / "facts.json").read_text())
        with dump.open() as lines:
            sections = name_sections(facts["sections"], parse_dump(lines))
        functions = machine.read_functions()
        symbols = Symbols((folder / "maps").read_text(), str(machine.library), functions)
        figures = {"version": facts["version"], **describe(sections.pop(WHOLE), model, symbols)}
        figures["parts"] = [
            {"name": part, **describe(runs, model, symbols)}
            for part, runs in split_prefixes(sections).items()
        ]
        return figures, np.load(folder / "answer.npy")


def name_sections(names: Sequence[str], sections: Sequence[Runs]) -> dict[str, Runs]:
    """What ran, by name, without what ran in between. Raises RuntimeFault if a mark is missing."""
    if len(names) != len(sections):
        raise RuntimeFault(f"expected {len(names)} sections, found marks of {len(sections)}")
    pairs = zip(names, sections, strict=True)
    return {name: runs for name, runs in pairs if name != ENDS}


def split_prefixes(prefixes: Mapping[str, Runs]) -> dict[str, Runs]:
    """What each one of growing prefixes of a network runs more than the one before."""
    parts, before = {}, Runs()
    for name, runs in prefixes.items():
        parts[name] = subtract(runs, before)
        before = runs
    return parts


def describe(runs: Runs, model: CoreModel, symbols: Symbols) -> dict[str, Any]:
    """Instructions by kind, modelled cycles of the hot blocks, and both by function or file."""
    hot = find_hot(runs)
    cycles = model.model(block.code for block in hot)
    by_name: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])
    for block in hot:
        entry = by_name[symbols.name(block.address)]
        entry[0] += runs[block] * block.instructions
        entry[1] += runs[block] * cycles[block.code]
    rows = sorted(by_name.items(), key=lambda row: -row[1][1])
    instructions = count_instructions(runs)
    return {
        "instructions": {
            "vector": instructions.vector,
            "vector_memory": instructions.vector_memory,
            "scalar": instructions.scalar,
            "all": instructions.all,
        },
        "cycles": sum(entry[1] for entry in by_name.values()),
        "modelled_share": sum(entry[0] for entry in by_name.values()) / max(1, instructions.all),
        "functions": [
            {"name": name, "instructions": int(entry[0]), "cycles": entry[1]}
            for name, entry in rows
        ],
    }
