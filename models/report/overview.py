"""The table that the report begins with: the default and the pairs to compare, each in one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean

from models.report.comparisons import group_repetitions, spread, validation_accuracies
from models.report.runs import Run
from runtime.measurement.tables import make_table

HEAD = ["network", "weights, bytes", "input", "top-1 %", "of these test images", "ms", "run"]
CAPTION = (
    "Rows with the same input and test images were trained on the same images and compare; other "
    "rows do not. MeliusNet is binary, MobileNet-v1 float32. Top-1: the share of test images whose "
    "best label is right. ms: one image on one thread. Of several seeds the mean is shown, with "
    "the range."
)


def make_overview(
    runs: Sequence[Run], milliseconds: Callable[[Run], str], default: Run | None = None
) -> str:
    """The default first, then MeliusNet and MobileNet-v1 in pairs, the largest input first.

    A pair was tested on the same images at the same size. Of several candidates, the one with the
    best validation accuracy is shown; seeds are averaged. milliseconds: of one run, as text.
    """
    rows = [_describe([default], milliseconds, "**the default**: ")] if default else []
    for pair in _find_pairs(runs):
        rows += [_describe(group, milliseconds) for group in pair]
    return make_table(HEAD, rows)


def _find_pairs(runs: Sequence[Run]) -> list[tuple[list[Run], list[Run]]]:
    """MeliusNet and MobileNet-v1 of the same test images and input size, where there are both."""
    kinds: dict[tuple[int, str | None, str], tuple[list[list[Run]], list[list[Run]]]] = {}
    for group in group_repetitions([run for run in runs if run.teacher is None]):
        first = group[0]
        pair = kinds.setdefault((-first.side, first.test_sha256, first.data), ([], []))
        if first.is_mobilenet:
            pair[1].append(group)
        elif first.is_binary and first.has_improvement:
            pair[0].append(group)
    found = [kinds[key] for key in sorted(kinds, key=lambda key: (key[0], key[2], str(key[1])))]
    return [(_choose(ours), _choose(theirs)) for ours, theirs in found if ours and theirs]


def _choose(groups: Sequence[list[Run]]) -> list[Run]:
    """The best on the validation images; one without validation is the last choice."""
    return max(groups, key=lambda group: mean(validation_accuracies(group) or [-1.0]))


def _describe(
    group: Sequence[Run], milliseconds: Callable[[Run], str], what: str = ""
) -> list[str]:
    first = group[0]
    return [
        f"{what}{first.network}",
        f"{first.counts.packed_bytes:,}",
        f"{first.side}x{first.side}",
        spread([run.test_top1 for run in group]),
        f"{first.test_images:,} of {first.data}, {first.class_count} classes",
        milliseconds(first),
        ", ".join(f"[{run.name}](runs/{run.name}/record.json)" for run in group),
    ]
