"""The text and the charts of the report, from records of runs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from models.plots.curves import write_curves
from models.plots.scatter import Point, write_scatter
from models.records.figures import Temperature
from models.records.hedging import HedgedRecord
from models.records.record import CONFUSION, Record
from models.records.typed_json import as_json
from models.report.comparisons import (
    MIB,
    compare_pairs,
    describe_claim,
    group_repetitions,
    mean_top1,
    milliseconds,
    spread,
    sweep_shifts,
    validation_accuracies,
)
from models.report.equal_bytes import Member, describe_pair
from models.report.hedged import describe_hedged
from models.report.latency import Latencies
from models.report.overview import CAPTION, make_overview
from models.report.references import (
    Reference,
    check_references,
    compare_on_other_data,
    compare_references,
)
from models.report.runs import Run
from models.training.recipe import Recipe
from runtime import read_bundle
from runtime.measurement.machine import format_machine
from runtime.measurement.tables import make_table

BUNDLE = Path(__file__).parents[2] / "service" / "bundles" / "default"
NOTES = "NOTES.md"
WORST = 5  # classes that are named


def read_notes(folder: Path) -> str:
    """The notes about the runs, if there are any."""
    path = folder / NOTES
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def find_source(runs: Sequence[Run], bundle: Path | None) -> Run | None:
    """The run that the bundle was exported from, if it is among these.

    None: this repository's default, where there is one. Raises BundleError if it is no bundle.
    """
    if bundle is None and not BUNDLE.exists():
        return None
    bundle = BUNDLE if bundle is None else bundle
    training = read_bundle(bundle).manifest.training or {}
    told = (training.get("commit"), training.get("accuracy"))
    return next((run for run in runs if (run.record.commit, as_json(run.test)) == told), None)


def make_report(
    runs: Sequence[Run],
    latencies: Latencies,
    notes: str = "",
    references: Sequence[Reference] = (),
    default: Run | None = None,
    hedged: Mapping[str, HedgedRecord] | None = None,
    pair: Sequence[Member] = (),
) -> str:
    """The text of RESULTS.md.

    notes: about the runs; default: the run that the default bundle was made from; hedged: what
    models.hedge printed, by name; pair: two networks of about equal bytes that were taught alike.
    Raises DataError for a reference to other test images than a run's of the same data.
    """
    check_references(references, runs)
    parts = [
        "# Trained networks: measured",
        *describe_pair(pair, latencies),
        make_overview(runs, lambda run: milliseconds(run, latencies), default),
        CAPTION,
        "Made by `python -m models.report` from the run records in [`runs/`](runs); every number "
        "in a table comes from one of them, from an answer of `python -m models.evaluate` in "
        "`runs/references`, of `python -m models.hedge` in `runs/hedged`, of `python -m "
        "models.known` in `runs/held-out`, from the networks' modules (sizes, operations) or from "
        "`runs/latencies.json` (latency: one thread, batch 1, all networks in turns on "
        f"{format_machine(latencies.machine).splitlines()[0]}). Binary networks run on the "
        "native engine, MobileNet-v1 in float32 on ONNX Runtime.",
        "![Accuracy against size and latency](runs/accuracy.svg)",
        *(["![Curves of the trainings](runs/curves.svg)"] if _have_epochs(runs) else []),
        *([notes.strip()] if notes else []),
    ]
    for title, mine in _by_task(runs).items():
        parts += [f"## {title}", _describe_data(mine), _accuracy_table(mine, latencies)]
        parts += describe_claim(mine, latencies)
        parts += compare_pairs(mine)
        parts += sweep_shifts(mine)
        parts += compare_references(references, mine)
        parts += ["### Calibration", _calibration_table(mine)]
        binary = [run for run in mine if run.is_binary]
        best = max(group_repetitions(binary or mine), key=mean_top1)
        erring = min(best, key=lambda run: run.name)  # whatever it reached
        parts += _worst_classes(erring, erring is default)
        if default in mine and default is not erring:
            parts += _worst_classes(default, True)
    parts += compare_on_other_data(references, runs)
    parts += describe_hedged(hedged or {})
    parts += ["## The runs", _runs_table(runs)]
    return "\n\n".join(parts) + "\n"


def _by_task(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs on the same data with the same classes: a student may learn those of its teachers."""
    tasks: dict[tuple[str, tuple[str, ...]], list[Run]] = {}
    for run in runs:
        tasks.setdefault((run.data, run.record.data.classes), []).append(run)
    names = [data for data, _ in tasks]
    return {
        data if names.count(data) == 1 else f"{data}, {len(classes):,} classes": mine
        for (data, classes), mine in tasks.items()
    }


def _describe_data(runs: Sequence[Run]) -> str:
    data, test = runs[0].record.data, runs[0].test
    counts = [run.record.data.train_images for run in runs]
    trained_on = " to ".join(f"{count:,}" for count in sorted({min(counts), max(counts)}))
    return (
        f"{len(data.classes)} classes; {trained_on} training images, "
        f"{data.validation_images:,} validation images, {test.images:,} test images "
        f"(the {test.split} split).{_tell_test_parts(runs)}"
    )


def _tell_test_parts(runs: Sequence[Run]) -> str:
    """A sentence, if not all runs were tested on the same images."""
    parts: dict[str | None, list[str]] = {}
    for run in runs:
        parts.setdefault(run.test_sha256, []).append(run.name)
    if len(parts) == 1:
        return ""
    together = "; ".join(", ".join(sorted(names)) for names in parts.values())
    return f" Not all runs were tested on the same images; groups with the same ones: {together}."


def _accuracy_table(runs: Sequence[Run], latencies: Latencies) -> str:
    rows = []
    for group in group_repetitions(runs):
        first, counts = group[0], group[0].counts
        rows.append(
            [
                first.describe(),
                f"{first.side}x{first.side}",
                spread([run.test.top1 for run in group]),
                spread([run.test.top5 for run in group]),
                spread(validation_accuracies(group)),
                f"{counts.packed_bytes / MIB:.2f}",
                f"{counts.binary_macs / 1e6:.1f}" if counts.binary_macs else "",
                f"{counts.float_macs / 1e6:.1f}",
                milliseconds(first, latencies),
                str(first.recipe.epochs),
                ", ".join(f"[{run.name}](runs/{run.name}/record.json)" for run in group),
            ]
        )
    head = ["network", "pixels", "top-1 %", "top-5 %", "validation top-1 %", "MiB"]
    return make_table([*head, "binary M MACs", "float M MACs", "ms", "epochs", "runs"], rows)


def _calibration_table(runs: Sequence[Run]) -> str:
    rows = []
    for run in runs:
        fitted = run.record.calibration
        after = run.test.calibration_error_with_temperature
        rows.append(
            [
                run.name,
                f"{run.test.calibration_error:.1f}",
                f"{after:.1f}" if after is not None else "",
                f"{fitted.temperature:.2f}" if fitted else "",
                _describe_fit(fitted) if fitted else "",
            ]
        )
    head = ["run", "expected calibration error %", "with the temperature %", "temperature"]
    return make_table([*head, "fitted on images"], rows)


def _describe_fit(temperature: Temperature) -> str:
    images = f"{temperature.images:,}"
    return images if temperature.fitted else f"none; {images} are too few"


def _worst_classes(run: Run, is_default: bool) -> list[str]:
    path = run.folder / CONFUSION
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
        f"### Where {run.name}{', the default model,' if is_default else ''} errs",
        f"The whole table: [{CONFUSION}](runs/{run.name}/{CONFUSION}). The worst classes:",
        make_table(["class", "right", "most often confused with"], worst),
    ]


def _runs_table(runs: Sequence[Run]) -> str:
    rows = []
    for run in runs:
        record, recipe = run.record, run.recipe
        rows.append(
            [
                f"[{run.name}](runs/{run.name}/record.json)",
                f"{_shorten(record.commit)}{_tell_remaking(record)}",
                str(recipe.seed),
                _describe_recipe(recipe),
                run.teacher or "none",
                run.start or "random weights",
                f"{record.device}, {_describe_threads(record)}",
                f"{record.seconds / 60:.0f}",
                record.started[:10],
            ]
        )
    head = [
        "run",
        "commit",
        "seed",
        "recipe",
        "teacher",
        "initialised from",
        "device",
        "minutes",
        "day",
    ]
    return make_table(head, rows)


def _shorten(commit: str | None) -> str:
    """Ten digits, and "+" if files differed from the commit."""
    commit = commit or "none"
    return f"`{commit[:10]}{'+' if '+' in commit else ''}`"


def _tell_remaking(record: Record) -> str:
    if adaptation := record.adaptation:
        return f", adapted to larger images by {_shorten(adaptation.commit)}"
    if averaging := record.averaging:
        runs = f"{averaging.runs} runs" if averaging.runs > 1 else "the run"
        with_start = (
            f" ({averaging.share:.0%}) and its initial weights" if averaging.share < 1 else ""
        )
        return f", the mean of {runs}{with_start} by {_shorten(averaging.commit)}"
    return ""


def _describe_threads(record: Record) -> str:
    threads = f"{record.threads} thread{'s' if record.threads > 1 else ''}"
    return threads if record.processes == 1 else f"{record.processes} processes of {threads}"


def _describe_recipe(recipe: Recipe) -> str:
    """Optimizer, rate and batch, and what differs from the published recipe."""
    if recipe.epochs == 0:
        return "last layer alone, logistic regression"
    told = ("epochs", "optimizer", "learning_rate", "batch", "seed")
    published = asdict(Recipe())
    others = [
        key for key, value in asdict(recipe).items() if key not in told and value != published[key]
    ]
    return ", ".join(
        [
            f"{recipe.optimizer} {recipe.learning_rate:g}",
            f"batch {recipe.batch}",
            *(_describe_field(key, getattr(recipe, key)) for key in others),
        ]
    )


def _describe_field(key: str, value: object) -> str:
    name = key.replace("_", " ")
    return name if value is True else f"{name} {value}"


def write_charts(runs: Sequence[Run], latencies: Latencies, folder: Path) -> None:
    """accuracy.svg and curves.svg."""
    points = []
    for group in group_repetitions(runs):
        first = group[0]
        row = latencies.find(first.record)
        points.append(
            Point(
                f"{first.describe()}, {first.data}, {first.side} px",
                first.data,
                first.is_binary,
                tuple(run.test.top1 for run in group),
                first.counts.packed_bytes / MIB,
                row.median_ms if row else None,
            )
        )
    write_scatter(points, folder / "accuracy.svg")
    if _have_epochs(runs):
        write_curves([run.record for run in runs], folder / "curves.svg")


def _have_epochs(runs: Sequence[Run]) -> bool:
    """Whether there is a training to draw: fitting the last layer alone has no epochs."""
    return any(run.record.epochs for run in runs)
