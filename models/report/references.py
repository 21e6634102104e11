"""Answers of models.evaluate, which stand beside the runs on the same test pictures.

Of networks that were trained elsewhere and know more classes, or of bundles that know the same
ones: trained on other pictures, or measured in changed light and colours. Answers about other data
than that of the runs have a section of their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.errors import DataError
from models.report.runs import Run
from runtime.measurement.tables import make_table

KEYS = (
    "bundle", "trained_on", "data", "sha256", "resize", "images", "top1", "top5",
    "commit", "device", "started", "seconds",
)  # fmt: skip


def read_references(folder: Path) -> list[dict[str, Any]]:
    """What models.evaluate printed; "name" is the file's.

    Raises DataError for a file that is no such answer.
    """
    return [_read_reference(path) for path in sorted(folder.glob("*.json"))]


def _read_reference(path: Path) -> dict[str, Any]:
    try:
        reference = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: expected an answer of models.evaluate, found {error}") from error
    if not isinstance(reference, dict) or not reference.keys() >= set(KEYS):
        raise DataError(
            f"{path}: expected an answer of models.evaluate, with {', '.join(KEYS)}; "
            f"found {str(reference)[:80]}. Measure it again."
        )
    return {**reference, "name": path.stem}


def check_references(references: Sequence[Mapping[str, Any]], runs: Sequence[Run]) -> None:
    """Raises DataError for an answer about data of the runs, but other test pictures of it."""
    names = {run.data for run in runs}
    for reference in _on_other_pictures(references, runs):
        if reference["data"] in names:
            raise DataError(
                f"{reference['name']}: expected an answer about test pictures of a run here; found "
                f"one about {reference['images']} others, of {reference['data']} (SHA-256 "
                f"{reference['sha256'][:12]}). Measure it on the same pictures."
            )


def _on_other_pictures(
    references: Sequence[Mapping[str, Any]], runs: Sequence[Run]
) -> list[Mapping[str, Any]]:
    """Those about pictures that no run was tested on."""
    known = {run.test_sha256 for run in runs}
    return [reference for reference in references if reference["sha256"] not in known]


def compare_on_other_data(
    references: Sequence[Mapping[str, Any]], runs: Sequence[Run]
) -> list[str]:
    """A section for each data set that no run was trained or tested on."""
    parts = []
    mine = _on_other_pictures(references, runs)
    for sha256 in dict.fromkeys(reference["sha256"] for reference in mine):
        same = [reference for reference in mine if reference["sha256"] == sha256]
        rows = [
            [*_describe_bundle(reference), _format_balanced(reference), _link(reference)]
            for reference in _sort_bundles(same)
        ]
        head = ["bundle", "seen as", "top-1 %", "top-5 %", "mean of the classes %", "measured"]
        parts += [
            f"## {same[0]['data']}: other pictures",
            f"{same[0]['images']:,} pictures of a set that no run here was trained or tested on. "
            "In the mean of the classes each of them counts alike.",
            make_table(head, rows),
        ]
    return parts


def _sort_bundles(references: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """In colours as they are first, the best first."""
    return sorted(references, key=lambda r: (r.get("color_jitter") or 0, -r["top1"]))


def _describe_bundle(reference: Mapping[str, Any]) -> list[str]:
    return [
        f"{reference['bundle']}, trained on {reference['trained_on']}",
        _describe_pictures(reference),
        f"{reference['top1']:.1f}",
        f"{reference['top5']:.1f}",
    ]


def _format_balanced(reference: Mapping[str, Any]) -> str:
    value = reference.get("balanced_top1")
    return "" if value is None else f"{value:.1f}"


def compare_references(references: Sequence[Mapping[str, Any]], runs: Sequence[Run]) -> list[str]:
    """Tables of those answers that are about the test pictures of `runs`, of one data set."""
    tested_on = {run.test_sha256 for run in runs}
    mine = [reference for reference in references if reference["sha256"] in tested_on]
    elsewhere = [reference for reference in mine if "among" in reference]
    own = [reference for reference in mine if "among" not in reference]
    return [*_compare_elsewhere(elsewhere, runs), *_compare_own(own)]


def _compare_elsewhere(references: Sequence[Mapping[str, Any]], runs: Sequence[Run]) -> list[str]:
    if not references:
        return []
    data, images = runs[0].record["data"], runs[0].test["images"]
    classes = len(data["classes"])
    rows = [
        [
            f"{reference['bundle']}, {_describe_pictures(reference)}",
            f"{reference['among']['top1']:.1f}",
            f"{reference['top1']:.1f} / {reference['top5']:.1f}",
            _link(reference),
        ]
        for reference in sorted(references, key=lambda r: -r["among"]["top1"])
    ]
    head = [
        "network",
        f"top-1 % among these {classes} classes",
        "top-1 / top-5 % among all its own",
        "measured",
    ]
    return [
        "### Beside networks trained elsewhere",
        f"The same {images:,} test pictures. These networks know more classes and have learned "
        f"from other pictures; ours have learned from {data['train_images']:,}, of {classes} "
        "classes.",
        make_table(head, rows),
    ]


def _compare_own(references: Sequence[Mapping[str, Any]]) -> list[str]:
    if not references:
        return []
    rows = [
        [*_describe_bundle(reference), _link(reference)] for reference in _sort_bundles(references)
    ]
    return [
        "### Bundles on these test pictures",
        "Also those that were trained on other pictures, and in changed light and colours.",
        make_table(["bundle", "seen as", "top-1 %", "top-5 %", "measured"], rows),
    ]


def _describe_pictures(reference: Mapping[str, Any]) -> str:
    """In which size and light they were seen, on which accuracy depends."""
    side = reference.get("seen_at")
    reduced = "" if side is None else f", reduced to {side}x{side} pixels before"
    jitter = reference.get("color_jitter")
    changed = f", colours changed by {jitter:g}" if jitter else ""
    return f"pictures of {reference['resize']} pixels{reduced}{changed}"


def _link(reference: Mapping[str, Any]) -> str:
    name = reference["name"]
    return f"[{name}](runs/references/{name}.json)"
