"""Writes the figures as Markdown tables: a file of their own, or between marks of a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.bench.networks import CHOSEN, POPCOUNT
from runtime.bench.peer_contestants import FLOAT, INT8
from runtime.bench.peer_networks import INT8_SUFFIX, LARQ_VARIANT, PAIRS
from runtime.errors import RuntimeFault

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
MIB = 2**20

Figures = Mapping[str, Any]


def write_markdown(figures: Figures, path: Path) -> None:
    """Writes the tables; a file with the marks keeps all that is not between them.

    Raises RuntimeFault as split_at_marks does.
    """
    tables = "\n\n".join(make_tables(figures)) + "\n"
    around = split_at_marks(path)
    if around is not None:
        tables = f"{around[0]}{BEGIN}\n\n{tables}\n{END}{around[1]}"
    path.write_text(tables)


def split_at_marks(path: Path) -> tuple[str, str] | None:
    """What stands before and behind the marks; None for a file that does not exist yet.

    Raises RuntimeFault for a file that exists and has no marks.
    """
    if not path.exists():
        return None
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise RuntimeFault(
            f"{path}: expected a new file, or the lines {BEGIN} and {END}, found a file without "
            "them. Add them, or name another file."
        )
    return before, after


def make_tables(figures: Figures) -> list[str]:
    """Paragraphs and tables of what was measured."""
    machine, settings = figures["machine"], figures["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return [
        f"{machine['cpu']} ({machine['system']}), kernels `{machine['implementation']}`, threads "
        f"{settings['threads']}, batch {settings['batch']}, medians of {settings['runs']} runs, "
        f"everything compared in turns. Python {machine['python']}, {versions}.",
        *_pairs(figures),
        *_larq(figures),
        *_engines(figures),
        *(table for result in figures.get("networks", []) for table in _network(result)),
    ]


def make_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _pairs(figures: Figures) -> list[str]:
    """Ours against both runtimes on MobileNet-v1, as times as fast."""
    found = figures.get("peers", {}).get("networks", {}).get("rows", [])
    medians = {(r["network"], r["engine"], r["precision"]): r["median_ms"] for r in found}
    rows = []
    pairs = [(f"{ours}{suffix}", theirs) for ours, theirs in PAIRS for suffix in ("", INT8_SUFFIX)]
    for ours, theirs in pairs:
        mine = [ms for (network, *_), ms in medians.items() if network == ours]
        if not mine:
            continue
        cells = [f"{ours}: {mine[0]:.2f}", theirs]
        for precision in (FLOAT, INT8):
            for engine in ("onnxruntime", "openvino"):
                ms = medians.get((theirs, engine, precision))
                cells.append("not measured" if ms is None else f"{ms:.2f}: {ms / mine[0]:.2f}x")
        rows.append(cells)
    if not rows:
        return []
    head = ["ours, ms", "at the same published accuracy"]
    head += [f"{e} {p}, ms" for p in (FLOAT, INT8) for e in ("ONNX Runtime", "OpenVINO")]
    return [
        "Whole networks at 224x224, untrained (random weights). *x*: times as fast as the peer.",
        make_table(head, rows),
    ]


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
    """What each part spends its time on, and the batches."""
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
