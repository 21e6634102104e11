"""Answers of models.evaluate, which stand beside the runs on the same test images.

Of networks that were trained elsewhere and know more classes, or of bundles that know the same
ones: trained on other images, or measured with colour jitter. Answers about other data
than that of the runs have a section of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import DataError
from models.records.evaluation import Among, Evaluation
from models.records.typed_json import parse_json
from models.report.runs import Run
from runtime.measurement.tables import make_table


@dataclass(frozen=True)
class Reference:
    """An answer of models.evaluate, and the name of its file."""

    name: str
    answer: Evaluation


def read_references(folder: Path) -> list[Reference]:
    """What models.evaluate printed. Raises DataError for a file that is no such answer."""
    return [_read_reference(path) for path in sorted(folder.glob("*.json"))]


def _read_reference(path: Path) -> Reference:
    expected, remedy = "an answer of models.evaluate", "Measure it again."
    content = path.read_bytes()
    answer = parse_json(Evaluation, content, where=str(path), expected=expected, remedy=remedy)
    return Reference(path.stem, answer)


def check_references(references: Sequence[Reference], runs: Sequence[Run]) -> None:
    """Raises DataError for an answer about data of the runs, but other test images of it."""
    names = {run.data for run in runs}
    for reference in _on_other_images(references, runs):
        if reference.answer.data in names:
            raise DataError(
                f"{reference.name}: expected an answer about test images of a run here; found "
                f"one about {reference.answer.images} others, of {reference.answer.data} (SHA-256 "
                f"{reference.answer.sha256[:12]}). Measure it on the same images."
            )


def _on_other_images(references: Sequence[Reference], runs: Sequence[Run]) -> list[Reference]:
    """Those about images that no run was tested on."""
    known = {run.test_sha256 for run in runs}
    return [reference for reference in references if reference.answer.sha256 not in known]


def compare_on_other_data(references: Sequence[Reference], runs: Sequence[Run]) -> list[str]:
    """A section for each data set that no run was trained or tested on."""
    parts = []
    mine = _on_other_images(references, runs)
    for sha256 in dict.fromkeys(reference.answer.sha256 for reference in mine):
        same = [reference for reference in mine if reference.answer.sha256 == sha256]
        rows = [
            [*_describe_bundle(reference), _format_balanced(reference), _link(reference)]
            for reference in _sort_bundles(same)
        ]
        head = ["bundle", "seen as", "top-1 %", "top-5 %", "mean of the classes %", "measured"]
        parts += [
            f"## {same[0].answer.data}: other images",
            f"{same[0].answer.images:,} images of a set that no run here was trained or tested "
            "on. In the mean of the classes each class counts the same.",
            make_table(head, rows),
        ]
    return parts


def _sort_bundles(references: Sequence[Reference]) -> list[Reference]:
    """In colours as they are first, the best first."""
    return sorted(references, key=lambda r: (r.answer.color_jitter, -r.answer.top1))


def _describe_bundle(reference: Reference) -> list[str]:
    return [
        f"{reference.answer.bundle}, trained on {reference.answer.trained_on}",
        _describe_images(reference),
        f"{reference.answer.top1:.1f}",
        f"{reference.answer.top5:.1f}",
    ]


def _format_balanced(reference: Reference) -> str:
    value = reference.answer.balanced_top1
    return "" if value is None else f"{value:.1f}"


def compare_references(references: Sequence[Reference], runs: Sequence[Run]) -> list[str]:
    """Tables of those answers that are about the test images of `runs`, of one data set."""
    tested_on = {run.test_sha256 for run in runs}
    mine = [reference for reference in references if reference.answer.sha256 in tested_on]
    elsewhere = [reference for reference in mine if reference.answer.among]
    own = [reference for reference in mine if not reference.answer.among]
    return [*_compare_elsewhere(elsewhere, runs), *_compare_own(own)]


def _compare_elsewhere(references: Sequence[Reference], runs: Sequence[Run]) -> list[str]:
    if not references:
        return []
    data, images = runs[0].record.data, runs[0].test.images
    classes = len(data.classes)
    rows = [
        [
            f"{reference.answer.bundle}, {_describe_images(reference)}",
            f"{_among(reference).top1:.1f}",
            f"{reference.answer.top1:.1f} / {reference.answer.top5:.1f}",
            _link(reference),
        ]
        for reference in sorted(references, key=lambda r: -_among(r).top1)
    ]
    head = [
        "network",
        f"top-1 % among these {classes} classes",
        "top-1 / top-5 % among all of its classes",
        "measured",
    ]
    return [
        "### Beside networks trained elsewhere",
        f"The same {images:,} test images. These networks know more classes and were trained "
        f"on other images; ours were trained on {data.train_images:,} images of {classes} "
        "classes.",
        make_table(head, rows),
    ]


def _among(reference: Reference) -> Among:
    assert reference.answer.among is not None
    return reference.answer.among


def _compare_own(references: Sequence[Reference]) -> list[str]:
    if not references:
        return []
    rows = [
        [*_describe_bundle(reference), _link(reference)] for reference in _sort_bundles(references)
    ]
    return [
        "### Bundles on these test images",
        "Also bundles that were trained on other images, and measurements with colour jitter.",
        make_table(["bundle", "seen as", "top-1 %", "top-5 %", "measured"], rows),
    ]


def _describe_images(reference: Reference) -> str:
    """In which size and light they were seen, on which accuracy depends."""
    side = reference.answer.seen_at
    reduced = "" if side is None else f", reduced to {side}x{side} pixels before"
    jitter = reference.answer.color_jitter
    changed = f", colour jitter {jitter:g}" if jitter else ""
    return f"images of {reference.answer.resize} pixels{reduced}{changed}"


def _link(reference: Reference) -> str:
    name = reference.name
    return f"[{name}](runs/references/{name}.json)"
