"""Tables and thresholds of `loadtests.overhead`: medians over the rounds, ratios within a round."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from loadtests.output.figures import (
    Latencies,
    Spread,
    divide_pairwise,
    find_median,
    format_ms,
    measure_latencies,
    measure_spread,
    to_json,
)
from loadtests.output.report import Report, check_at_least, check_at_most
from loadtests.servers.processes import Usage, format_bytes

_HEAD = [
    *("", "clients", "CPU ms a request", "bare loop", "overhead"),
    *("overhead, {first} / this", "CPU, {first} / this"),
    *("images/s", "of bare loop", "p50 ms", "p99 ms", "RSS / peak MiB", "labels, score"),
]


@dataclass(frozen=True)
class Row:
    """One contestant in one cell; the lists have one value a round, in the rounds' order."""

    name: str
    is_peer: bool
    engine: str
    cpu_ms: list[float]
    rates: list[float]
    latencies: Latencies
    bare_cpu_ms: list[float]
    bare_rates: list[float]
    usage: Usage
    agreement: str

    @property
    def overhead_ms(self) -> list[float]:
        """CPU milliseconds beyond the bare loop."""
        return [cpu - bare for cpu, bare in zip(self.cpu_ms, self.bare_cpu_ms, strict=True)]

    @property
    def share_of_bare(self) -> Spread:
        """Images a second, as a share of the bare loop's."""
        return divide_pairwise(self.rates, self.bare_rates)


@dataclass
class Cell:
    """One bundle, set of images and concurrency; the first row is the service that is judged."""

    bundle: str
    images: str
    concurrency: int
    rows: list[Row] = field(default_factory=list)

    def add(self, *, latencies: Sequence[float], **fields: Any) -> None:
        """A row; latencies are in seconds."""
        self.rows.append(Row(latencies=measure_latencies(latencies), **fields))

    def compare(self, row: Row) -> Spread | None:
        """The first row's median overhead divided by this one's; None if this has none.

        Lowest and highest are of single rounds: the median of their ratios would suffer where an
        overhead is small beside the noise.
        """
        first, other = self.rows[0].overhead_ms, row.overhead_ms
        if find_median(other) <= 0:
            return None
        rounds = [a / b for a, b in zip(first, other, strict=True) if b > 0]
        ratio = find_median(first) / find_median(other)
        return Spread(ratio, min(rounds), max(rounds), len(rounds))

    @property
    def title(self) -> str:
        """As checks name it."""
        clients = "client" if self.concurrency == 1 else "clients"
        return f"{self.bundle}, {self.images}, {self.concurrency} {clients}"


def add_tables(report: Report, cells: Sequence[Cell], options: argparse.Namespace) -> None:
    """Adds what was measured, and judges it."""
    report.paragraphs.append(
        "CPU time of the server's process, user and system, by the kernel's clock. The bare loop "
        "decodes, preprocesses and infers without HTTP in the same interpreter, on the same CPU, "
        "on the same files. Values are medians of the rounds [lowest, highest]; the ratio of "
        "overheads is that of their medians, with the lowest and highest of a round. Below 0 it is "
        "noise, or the service computes several images together, which the bare loop does not: "
        "then a ratio means nothing. *labels, score*: how many labels are the first one's, and "
        "the largest difference of scores."
    )
    report.unfit = list(dict.fromkeys(report.unfit))
    for bundle, images in dict.fromkeys((cell.bundle, cell.images) for cell in cells):
        chosen = [cell for cell in cells if (cell.bundle, cell.images) == (bundle, images)]
        first = chosen[0].rows[0]
        head = [title.format(first=first.name) for title in _HEAD]
        rows = [_make_row(cell, row) for cell in chosen for row in cell.rows]
        report.add_table(f"**{bundle}**, {images}:", head, rows)
    for cell in cells:
        _judge(report, cell, options)
    report.data["cells"] = [_to_json(cell) for cell in cells]


def _make_row(cell: Cell, row: Row) -> list[str]:
    ratio = cell.compare(row)
    return [
        f"{row.name} (`{row.engine}`)",
        str(cell.concurrency),
        measure_spread(row.cpu_ms).format(),
        measure_spread(row.bare_cpu_ms).format(),
        measure_spread(row.overhead_ms).format(),
        "" if row is cell.rows[0] else "none" if ratio is None else ratio.format(),
        "" if row is cell.rows[0] else divide_pairwise(cell.rows[0].cpu_ms, row.cpu_ms).format(),
        measure_spread(row.rates).format(0),
        f"{row.share_of_bare.median:.0%}",
        format_ms(row.latencies.p50_ms),
        format_ms(row.latencies.p99_ms),
        f"{format_bytes(row.usage.rss_bytes)} / {format_bytes(row.usage.peak_bytes)}"
        + (f" ({row.usage.processes} processes)" if row.usage.processes > 1 else ""),
        row.agreement,
    ]


def _judge(report: Report, cell: Cell, options: argparse.Namespace) -> None:
    first = cell.rows[0]
    for row in cell.rows[1:]:
        name = f"overhead, {first.name} / {row.name}: {cell.title}"
        limit, goal = (options.max_of_peer, 1.0) if row.is_peer else (options.max_of_service, 0.5)
        ratio = cell.compare(row)
        if ratio is None or ratio.median <= 0:
            which = "latter" if ratio is None else "former"
            report.unfit.append(
                f"{name}: no overhead of the {which} was found; the machine is too noisy, the "
                "turns are too short (--seconds), or the network is too heavy (--onnx-bundle)"
            )
            continue
        report.checks.append(check_at_most(name, ratio.median, limit, goal=f"<= {goal:g}"))
    if (cell.bundle, cell.concurrency) == ("default", 8) and "photos" in cell.images:
        name = f"images/s, {first.name} / bare loop: {cell.title}"
        share = first.share_of_bare.median
        report.checks.append(check_at_least(name, share, options.min_of_bare, goal=">= 0.92"))


def _to_json(cell: Cell) -> dict[str, Any]:
    rows = []
    for row in cell.rows:
        ratio = cell.compare(row)
        rows.append(
            {
                **asdict(row),
                "overhead_ms": row.overhead_ms,
                "cpu_ms_spread": to_json(measure_spread(row.cpu_ms)),
                "overhead_ms_spread": to_json(measure_spread(row.overhead_ms)),
                "overhead_ratio": None if ratio is None else to_json(ratio),
                "cpu_ratio": to_json(divide_pairwise(cell.rows[0].cpu_ms, row.cpu_ms)),
                "share_of_bare": to_json(row.share_of_bare),
            }
        )
    return {
        "bundle": cell.bundle,
        "images": cell.images,
        "concurrency": cell.concurrency,
        "rows": rows,
    }
