"""Writes the figures as Markdown tables: a file of their own, or between marks of a document.

Marks have a name, so that a page has the figures of several instruction sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.bench.networks import CHOSEN, POPCOUNT
from runtime.bench.peer_networks import LARQ_VARIANT
from runtime.bench.peer_tables import tabulate_end_to_end, tabulate_modern, tabulate_pairs
from runtime.errors import RuntimeFault
from runtime.measurement.tables import make_table

BLOCK = "bench"  # the name of the marks
MIB = 2**20
WIDE = 1.6  # p90 by median, beyond which a row tells of other work on the CPU

Figures = Mapping[str, Any]


def make_marks(block: str) -> tuple[str, str]:
    """The lines around the tables."""
    return f"<!-- {block}: begin -->", f"<!-- {block}: end -->"


def write_markdown(figures: Figures, path: Path, block: str = BLOCK) -> None:
    """Writes the tables of these figures. Raises RuntimeFault as split_at_marks does."""
    write_block("\n\n".join(make_tables(figures)), path, block)


def write_block(tables: str, path: Path, block: str) -> None:
    """Writes tables; a file with the marks keeps all that is not between them.

    Raises RuntimeFault as split_at_marks does.
    """
    tables += "\n"
    around = split_at_marks(path, block)
    if around is not None:
        begin, end = make_marks(block)
        tables = f"{around[0]}{begin}\n\n{tables}\n{end}{around[1]}"
    path.write_text(tables)


def split_at_marks(path: Path, block: str = BLOCK) -> tuple[str, str] | None:
    """What stands before and behind the marks; None for a file that does not exist yet.

    Raises RuntimeFault for a file that exists and has no marks.
    """
    if not path.exists():
        return None
    marks = make_marks(block)
    before, begin, rest = path.read_text().partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise RuntimeFault(
            f"{path}: expected a new file, or the lines {marks[0]} and {marks[1]}, found a file "
            "without them. Add them, or name another file or block."
        )
    return before, after


def make_tables(figures: Figures) -> list[str]:
    """Paragraphs and tables of what was measured."""
    machine, settings = figures["machine"], figures["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return [
        f"{machine['cpu']} ({machine['system']}), kernels `{machine['implementation']}`"
        f"{' (forced)' if machine.get('forced') else ''}, threads "
        f"{settings['threads']}, batch {settings['batch']}, medians of {settings['runs']} runs, "
        f"everything compared in turns. Python {machine['python']}, {versions}."
        f"{_describe_scatter(figures)}",
        *tabulate_pairs(figures),
        *tabulate_modern(figures),
        *_larq(figures),
        *tabulate_end_to_end(figures),
        *_engines(figures),
        *(table for result in figures.get("networks", []) for table in _network(result)),
    ]


def _describe_scatter(figures: Figures) -> str:
    """A sentence if other work took the CPU while this was measured."""
    peers = figures.get("peers", {})
    rows = [row for name in ("networks", "modern") for row in peers.get(name, {}).get("rows", [])]
    rows += [row for result in figures.get("engines", []) for row in result["engines"]]
    wide = sum(row["p90_ms"] > WIDE * row["median_ms"] for row in rows)
    if wide <= len(rows) / 10:
        return ""
    return (
        f" **Provisional**: of {wide} of {len(rows)} rows a tenth of the runs took more than "
        f"{WIDE:g} times the median, so other work ran meanwhile."
    )


def _larq(figures: Figures) -> list[str]:
    rows = [
        row
        for row in figures.get("peers", {}).get("networks", {}).get("rows", [])
        if row["network"] == LARQ_VARIANT
    ]
    if len(rows) < 2:
        return []
    ours = rows[0]["median_ms"]
    return [
        "MeliusNet22 as larq-zoo defines it, 224x224, untrained:",
        make_table(
            ["engine", "ms", "times ours"],
            [[r["engine"], f"{r['median_ms']:.2f}", f"{r['median_ms'] / ours:.1f}"] for r in rows],
        ),
    ]


def _title(result: Figures) -> str:
    shape = "x".join(map(str, result["input"][1:]))
    return f"{result['network']}, {shape}" + ("" if result["trained"] else ", untrained")


def _engines(figures: Figures) -> list[str]:
    tables = []
    for result in figures.get("engines", []):
        rows = []
        for row in result["engines"]:
            ratio, peak = row.get("times_as_fast_as_eager"), row.get("peak_memory_bytes")
            rows.append(
                [
                    f"`{row['name']}/{row['implementation']}`",
                    f"{row['median_ms']:.2f}",
                    f"{ratio:.1f}" if ratio else "",
                    f"{peak / MIB:.0f}" if peak else "",
                    f"{row['model_bytes'] / MIB:.2f}" if row["model_bytes"] else "",
                ]
            )
        head = [_title(result), "ms", "times as fast as eager", "peak MiB", "model MiB"]
        tables.append(make_table(head, rows))
    return tables


def _network(result: Figures) -> list[str]:
    """What each layer group spends its time on, and the batches."""
    phases = [p for p in result["parts"][0]["phases_ms"] if _is_spent(result["parts"], p)]
    families = [name for name in (CHOSEN, POPCOUNT) if f"{name}_ms" in result["parts"][0]]
    rows = [
        [
            part["name"],
            *(f"{part[f'{name}_ms']:.3f}" for name in families),
            *(f"{ms:.3f}" if (ms := part["phases_ms"][p]) >= 0.0005 else "" for p in phases),
            f"{part['rate_g']:.0f}",
            f"{part['share']:.0%}",
        ]
        for part in result["parts"]
    ]
    head = [_title(result), *(f"{name} kernels, ms" for name in families)]
    tables = [make_table([*head, *phases, "G MAC/s", "of limit"], rows)]
    throughput = result["throughput"]["rows"]
    if throughput:
        tables.append(
            make_table(
                [f"native engine, {result['network']}", "ms an image", "times as many images"],
                [[r["name"], f"{r['image_ms']:.2f}", f"{r['speed']:.2f}"] for r in throughput],
            )
        )
    return tables


def _is_spent(parts: Sequence[Figures], phase: str) -> bool:
    return any(part["phases_ms"][phase] >= 0.0005 for part in parts)
