"""Writes models/RESULTS.md from the records of training runs: python -m models.report [RUNS].

RUNS has a folder per run with its record.json and confusion.csv, NOTES.md, which goes into the
report as it is, and latencies.json, which --measure writes anew on this machine. Without --measure
the report is made of these files alone, so that it can be made again anywhere, bit for bit.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from models.curves import write_curves
from models.errors import DataError, TrainingFault
from models.latency import key_of, measure_latencies, read_latencies, write_latencies
from models.record import read_record
from models.scatter import Point, write_scatter
from models.summary import Counts, count
from models.zoo import build_network
from runtime.bench.machine import format_machine
from runtime.errors import RuntimeFault

RUNS = Path(__file__).parent / "runs"
RESULTS = Path(__file__).parent / "RESULTS.md"
LATENCIES = "latencies.json"
NOTES = "NOTES.md"
WORST = 5  # classes that are named
MIB = 2**20


@dataclass(frozen=True)
class Run:
    """One finished run and its folder's name."""

    name: str
    folder: Path
    record: Mapping[str, Any]

    @property
    def data(self) -> str:
        return str(self.record["data"]["name"])

    @property
    def test(self) -> Mapping[str, Any]:
        return self.record["test"]  # type: ignore[no-any-return]

    @property
    def recipe(self) -> Mapping[str, Any]:
        return self.record["recipe"]  # type: ignore[no-any-return]

    @property
    def variant(self) -> tuple[Any, ...]:
        """What runs that differ in their seed alone have in common."""
        recipe = tuple(sorted((k, v) for k, v in self.recipe.items() if k != "seed"))
        return (self.data, key_of(self.record), self.shift, self.record["teacher"], recipe)

    @property
    def shift(self) -> float:
        return float(self.record["changes"].get("shift", 0.0))

    @cached_property
    def counts(self) -> Counts:
        """Sizes and operations of the network, counted on its modules."""
        with torch.device("meta"):
            network = build_network(
                self.record["network"],
                len(self.record["data"]["classes"]),
                **self.record["changes"],
            )
        return count(network, self.record["preprocessing"]["crop"])

    def describe(self) -> str:
        """Network, and what differs from its default."""
        text = str(self.record["network"])
        if self.shift:
            text += f", shift {self.shift:+g}"
        if self.recipe["distillation"]:
            text += f", distilled ({self.recipe['distillation']:g})"
        return text


def read_runs(folder: Path) -> list[Run]:
    """The finished runs, by data set, then the best first. Raises DataError if there are none."""
    runs = [
        Run(path.parent.name, path.parent, read_record(path))
        for path in sorted(folder.glob("*/record.json"))
    ]
    for run in runs:
        if not run.record["finished"] or not run.record["test"]:
            raise DataError(
                f"{run.folder}: expected a run that has ended with its test, found one that has "
                "not; finish it (models.train --resume) or remove it"
            )
    if not runs:
        raise DataError(f"{folder}: expected folders of runs with a record.json, found none")
    return sorted(runs, key=lambda run: (run.data, -run.test["top1"], run.name))


def read_notes(folder: Path) -> str:
    """What people wrote of the runs, if they did."""
    path = folder / NOTES
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def make_report(runs: Sequence[Run], latencies: Mapping[str, Any], notes: str = "") -> str:
    """The text of RESULTS.md; notes: what people have to say of the runs."""
    parts = [
        "# Trained networks: measured",
        "Made by `python -m models.report` from the run records in [`runs/`](runs); every number "
        "comes from one of them, from the networks' modules (sizes, operations) or from "
        "`runs/latencies.json` (latency: one thread, batch 1, all networks in turns on "
        f"{format_machine(latencies['machine']).splitlines()[0]}). Binary networks run on the "
        "native engine, MobileNet-v1 in float32 on ONNX Runtime.",
        "![Accuracy against size and latency](runs/accuracy.svg)",
        "![Curves of the trainings](runs/curves.svg)",
        *([notes.strip()] if notes else []),
    ]
    for data in dict.fromkeys(run.data for run in runs):
        mine = [run for run in runs if run.data == data]
        parts += [f"## {data}", _describe_data(mine[0]), _accuracy_table(mine, latencies)]
        parts += _compare(mine, latencies)
        parts += _shift_sweep(mine)
        parts += ["### Calibration", _calibration_table(mine)]
        parts += _worst_classes(mine[0])
    parts += ["## The runs", _runs_table(runs)]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def _describe_data(run: Run) -> str:
    data, side = run.record["data"], run.record["preprocessing"]["crop"]
    test = run.test
    names = {"test": "the test part, which no training or choice has seen"}
    return (
        f"{len(data['classes'])} classes, {side}x{side} pixels; {data['train_images']:,} pictures "
        f"to train on, {data['validation_images']:,} to watch it by, {test['images']:,} to test on "
        f"({names.get(test['split'], 'the ' + test['split'] + ' part')})."
    )


def _accuracy_table(runs: Sequence[Run], latencies: Mapping[str, Any]) -> str:
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(run.variant, []).append(run)
    rows = []
    for group in groups.values():
        first, counts = group[0], group[0].counts
        rows.append(
            [
                first.describe(),
                _spread([run.test["top1"] for run in group]),
                _spread([run.test["top5"] for run in group]),
                f"{counts.packed_bytes / MIB:.2f}",
                f"{counts.binary_macs / 1e6:.1f}" if counts.binary_macs else "",
                f"{counts.float_macs / 1e6:.1f}",
                _milliseconds(first, latencies),
                str(first.recipe["epochs"]),
                ", ".join(f"[{run.name}](runs/{run.name}/record.json)" for run in group),
            ]
        )
    head = ["network", "top-1 %", "top-5 %", "MiB", "binary M MACs", "float M MACs"]
    return _table([*head, "ms", "epochs", "runs"], rows)


def _spread(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{mean(values):.1f} ({min(values):.1f} to {max(values):.1f}, {len(values)} seeds)"


def _milliseconds(run: Run, latencies: Mapping[str, Any]) -> str:
    row = latencies["networks"].get(key_of(run.record))
    return f"{row['median_ms']:.2f}" if row else "not measured"


def _is_binary(run: Run) -> bool:
    return run.counts.binary_macs > 0


def _compare(runs: Sequence[Run], latencies: Mapping[str, Any]) -> list[str]:
    """The best MeliusNet beside the MobileNet whose file is nearest in size, and its dense twin."""
    best = _first(runs, lambda run: run.record["network"].startswith("melius"))
    lines: list[str] = []
    if best is None:
        return lines
    others = [run for run in runs if not _is_binary(run)]
    if others:
        size = best.counts.packed_bytes
        peer = min(others, key=lambda run: abs(run.counts.packed_bytes - size))
        gap = best.test["top1"] - peer.test["top1"]
        lines.append(
            f"**The claim.** {best.describe()} ({size / MIB:.2f} MiB) reaches "
            f"{best.test['top1']:.1f} %, {peer.describe()} "
            f"({peer.counts.packed_bytes / MIB:.2f} MiB), the MobileNet-v1 nearest in size, "
            f"{peer.test['top1']:.1f} %: {abs(gap):.1f} points {'more' if gap >= 0 else 'less'}, "
            f"in {_milliseconds(best, latencies)} against {_milliseconds(peer, latencies)} ms."
        )
    twin = _first(runs, lambda run: run.record["network"].startswith("binarydense"))
    if twin is not None:
        gap = best.test["top1"] - twin.test["top1"]
        lines.append(
            f"**Improvement blocks.** Without them ({twin.describe()}, "
            f"{twin.counts.packed_bytes / MIB:.2f} MiB) it is {twin.test['top1']:.1f} %: "
            f"{abs(gap):.1f} points {'less' if gap >= 0 else 'more'}."
        )
    return lines


def _first(runs: Sequence[Run], fits: Callable[[Run], bool]) -> Run | None:
    return next((run for run in runs if fits(run)), None)


def _shift_sweep(runs: Sequence[Run]) -> list[str]:
    """Accuracy by threshold shift, where more than one was tried with the same recipe."""
    base = {run.variant[:2] + run.variant[3:]: [] for run in runs if run.shift}  # type: ignore[var-annotated]
    tables = []
    for run in runs:
        if (rest := run.variant[:2] + run.variant[3:]) in base:
            base[rest].append(run)
    for group in base.values():
        rows = [
            [f"{run.shift:+g}", f"{run.test['top1']:.1f}", _share(run)]
            for run in sorted(group, key=lambda run: run.shift)
        ]
        tables += [
            f"### Threshold shift of {group[0].record['network']}",
            _table(["shift", "top-1 %", "share of activations that are +1"], rows),
        ]
    return tables


def _share(run: Run) -> str:
    share = run.test.get("positive_share")
    return "not measured" if share is None else f"{share:.1%}"


def _calibration_table(runs: Sequence[Run]) -> str:
    rows = []
    for run in runs:
        fitted = run.record["calibration"]
        after = run.test.get("calibration_error_with_temperature")
        rows.append(
            [
                run.name,
                f"{run.test['calibration_error']:.1f}",
                f"{after:.1f}" if after is not None else "",
                f"{fitted['temperature']:.2f}" if fitted else "",
                f"{fitted['images']:,}" if fitted else "",
            ]
        )
    head = ["run", "expected calibration error %", "with the temperature %", "temperature"]
    return _table([*head, "fitted on pictures"], rows)


def _worst_classes(run: Run) -> list[str]:
    path = run.folder / "confusion.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        (_, *labels), *lines = list(csv.reader(stream))
    if len(labels) < 2:
        return []
    rows = []
    for i, (name, *cells) in enumerate(lines):
        counts = [int(cell) for cell in cells]
        wrong = max((k for k in range(len(counts)) if k != i), key=lambda k: counts[k])
        share = counts[i] / max(sum(counts), 1)
        rows.append((share, [name, f"{share:.0%}", f"{labels[wrong]} ({counts[wrong]})"]))
    worst = [cells for _, cells in sorted(rows, key=lambda row: row[0])[:WORST]]
    return [
        f"### Where {run.name} errs",
        f"All of it: [confusion.csv](runs/{run.name}/confusion.csv). The worst classes:",
        _table(["class", "right", "most often taken for"], worst),
    ]


def _runs_table(runs: Sequence[Run]) -> str:
    rows = []
    for run in runs:
        record, recipe = run.record, run.recipe
        commit = (record["commit"] or "none")[:10] + (
            "+" if "+" in (record["commit"] or "") else ""
        )
        rows.append(
            [
                f"[{run.name}](runs/{run.name}/record.json)",
                f"`{commit}`",
                str(recipe["seed"]),
                f"{recipe['optimizer']}, {recipe['learning_rate']:g}, batch {recipe['batch']}, "
                f"{recipe['augmentation']}",
                record["teacher"] or "none",
                f"{record['device']}, {record['threads']} threads",
                f"{record['seconds'] / 60:.0f}",
                record["started"][:10],
            ]
        )
    head = ["run", "commit", "seed", "recipe", "teacher", "device", "minutes", "day"]
    return _table(head, rows)


def write_pictures(runs: Sequence[Run], latencies: Mapping[str, Any], folder: Path) -> None:
    """accuracy.svg and curves.svg."""
    points = []
    for run in runs:
        row = latencies["networks"].get(key_of(run.record))
        points.append(
            Point(
                f"{run.describe()}, {run.data}",
                run.data,
                _is_binary(run),
                run.test["top1"],
                run.counts.packed_bytes / MIB,
                row["median_ms"] if row else None,
            )
        )
    write_scatter(points, folder / "accuracy.svg")
    write_curves([run.record for run in runs], folder / "curves.svg")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m models.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", type=Path, nargs="?", default=RUNS, help="default: models/runs")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default: models/RESULTS.md")
    parser.add_argument("--measure", action="store_true", help="measure the latencies anew")
    args = parser.parse_args(arguments)
    try:
        runs = read_runs(args.runs)
        path = args.runs / LATENCIES
        if args.measure:
            write_latencies(measure_latencies([run.record for run in runs]), path)
        latencies = read_latencies(path)
        write_pictures(runs, latencies, args.runs)
        args.out.write_text(make_report(runs, latencies, read_notes(args.runs)), encoding="utf-8")
    except (TrainingFault, RuntimeFault, OSError) as error:
        print(f"models.report: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
