"""The figures as Markdown: ours beside LiteRT, where cycles go, and what that proves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.bench.arm.blocks import HOT
from runtime.bench.arm.boards import BOARDS
from runtime.bench.arm.compare import LITERT, NATIVE
from runtime.bench.peer_contestants import FLOAT, INT8
from runtime.bench.peer_networks import INT8_SUFFIX, PAIRS
from runtime.measurement.tables import make_table

MILLION = 1e6
NAMED_SHARE = 0.02  # of the cycles, from which on a function is named

Row = Mapping[str, Any]


def make_tables(figures: Row) -> str:
    """All paragraphs and tables."""
    rows = sorted(figures["rows"], key=lambda row: list(BOARDS).index(row["board"]))
    ours = [row for row in rows if row["engine"] == NATIVE]
    parts = [row for row in ours if row["parts"]]
    blocks = [
        describe(figures),
        make_table(
            [
                *("board", "ours", "kernels", "M instructions", "M cycles"),
                *("at the same published accuracy", "LiteRT fp32: M instructions"),
                *("LiteRT fp32: M cycles", "LiteRT int8: M instructions", "LiteRT int8: M cycles"),
            ],
            [compare(row, rows) for row in ours],
        ),
        "Where the cycles of ours go, by function of the kernel library, from "
        f"{NAMED_SHARE:.0%} on:",
        make_table(
            ["board", "network", "vector instructions", "vector loads and stores", "cycles"],
            [
                [
                    BOARDS[row["board"]].name,
                    row["network"],
                    *(
                        f"{row['instructions'][kind] / row['instructions']['all']:.0%}"
                        for kind in ("vector", "vector_memory")
                    ),
                    name_functions(row),
                ]
                for row in ours
            ],
        ),
    ]
    if parts:
        head = ["board", "network", "layer groups", "M instructions", "M cycles", "cycles"]
        blocks.append(make_table(head, [cells for row in parts for cells in list_parts(row)]))
    return "\n\n".join(blocks)


def describe(figures: Row) -> str:
    """How the figures came about, what they prove and what not."""
    tools, size = figures["tools"], figures["size"]
    models = "; ".join(
        f"{BOARDS[board].name}: emulated as {facts['core']}, modelled as {facts['model']}"
        for board, facts in figures["boards"].items()
    )
    versions = sorted({row["version"] for row in figures["rows"] if row["engine"] == LITERT})
    missing = "; ".join(f"{name}: {why}" for name, why in figures["not_measured"].items())
    return (
        f"**Emulated and modelled, not measured.** {models}. One inference at {size}x{size}, "
        "batch 1, one thread, random weights. Instructions are exact: counted under QEMU "
        f"{tools['qemu']}, of the code that GCC {tools['gcc']} makes of the kernels and of "
        f"{', '.join(versions) or 'no LiteRT'}. Cycles are a model: those of LLVM {tools['llvm']} "
        f"(llvm-mca) for each block of code, times its runs, for the blocks with {HOT:.0%} of the "
        "instructions. The model knows no cache misses, no wrong predictions, no memory and no "
        "clock: read ratios, never times. *x*: times as fast as the peer, by modelled cycles."
        + (f" Not measured: {missing}." if missing else "")
    )


def compare(row: Row, rows: Sequence[Row]) -> list[str]:
    """One of ours beside its peer."""
    theirs = dict(PAIRS)[row["network"].removesuffix(INT8_SUFFIX)]
    cells = [BOARDS[row["board"]].name, row["network"], f"`{row['version']}`"]
    cells += [*_millions(row), theirs]
    for precision in (FLOAT, INT8):
        key = (row["board"], theirs, precision)
        peers = [r for r in rows if (r["board"], r["network"], r["precision"]) == key]
        if peers:
            instructions, cycles = _millions(peers[0])
            cells += [instructions, f"{cycles}: {peers[0]['cycles'] / row['cycles']:.2f}x"]
        else:
            cells += ["not measured", "not measured"]
    return cells


def list_parts(row: Row) -> list[list[str]]:
    """The parts of one network."""
    network = [BOARDS[row["board"]].name, row["network"]]
    return [
        [*network, part["name"], *_millions(part), name_functions(part)] for part in row["parts"]
    ]


def name_functions(row: Row) -> str:
    """Those that take the most cycles, with their share."""
    shares = [(entry["name"], entry["cycles"] / row["cycles"]) for entry in row["functions"]]
    return ", ".join(f"`{name}` {share:.0%}" for name, share in shares if share >= NAMED_SHARE)


def _millions(row: Row) -> list[str]:
    values = row["instructions"]["all"], row["cycles"]
    return [f"{value / MILLION:.1f}" for value in values]
