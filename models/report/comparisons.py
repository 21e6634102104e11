"""Training runs side by side: the paper's claim, and pairs of which one thing differs.

Each function gives paragraphs and tables in Markdown, or none where there is nothing to compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import mean

from models.report.latency import Latencies
from models.report.runs import Run
from runtime.measurement.tables import make_table

MIB = 2**20


def spread(values: Sequence[float], unit: str = "") -> str:
    """The mean; with several values also the range."""
    if len(values) < 2:
        return "".join(f"{value:.1f}{unit}" for value in values)
    between = f"({min(values):.1f} to {max(values):.1f}, {len(values)} seeds)"
    return f"{mean(values):.1f}{unit} {between}"


def milliseconds(run: Run, latencies: Latencies) -> str:
    """The median, if it was measured."""
    row = latencies.find(run.record)
    return f"{row.median_ms:.2f}" if row else "not measured"


def describe_claim(runs: Sequence[Run], latencies: Latencies) -> list[str]:
    """The best MeliusNet beside the best MobileNet-v1 nearest in size, both without a teacher.

    One paragraph for each side of the input, the largest first.

    Best on the validation images; of runs that see as many pixels and were tested on the same
    images. Seeds are taken together: no seed is chosen by what it reached.
    """
    groups = [
        group
        for group in group_repetitions([run for run in runs if run.teacher is None])
        if validation_accuracies(group)
    ]
    peers: dict[tuple[str | None, int], list[list[Run]]] = {}
    melius: dict[tuple[str | None, int], list[list[Run]]] = {}
    for group in groups:
        if group[0].is_mobilenet:
            peers.setdefault(_sees(group), []).append(group)
        elif group[0].is_binary and group[0].has_improvement:
            melius.setdefault(_sees(group), []).append(group)
    return [
        _describe_pair(max(melius[seen], key=_mean_validation), peers[seen], latencies)
        for seen in sorted(melius.keys() & peers.keys(), key=lambda seen: (-seen[1], str(seen[0])))
    ]


def _describe_pair(
    best: Sequence[Run], peers: Sequence[Sequence[Run]], latencies: Latencies
) -> str:
    size = _size(best)
    nearest = min(abs(_size(group) - size) for group in peers)
    close = [group for group in peers if abs(_size(group) - size) == nearest]
    peer = max(close, key=_mean_validation)
    gap = mean_top1(best) - mean_top1(peer)
    reached = [spread([_top1(run) for run in group], " %") for group in (best, peer)]
    side = best[0].side
    return (
        f"**The claim** at {side}x{side} pixels. {best[0].describe()} ({size / MIB:.2f} MiB) "
        f"reaches {reached[0]} in {milliseconds(best[0], latencies)} ms. {peer[0].describe()} "
        f"({_size(peer) / MIB:.2f} MiB), the MobileNet-v1 nearest in size, reaches {reached[1]} in "
        f"{milliseconds(peer[0], latencies)} ms. The difference is {gap:+.1f} points. Of several "
        "runs the best on the validation images is shown."
    )


def _sees(group: Sequence[Run]) -> tuple[str | None, int]:
    """The images of the test, and their side: what a comparison has to be alike in."""
    return group[0].test_sha256, group[0].side


def _mean_validation(group: Sequence[Run]) -> float:
    return mean(validation_accuracies(group))


def _size(group: Sequence[Run]) -> int:
    return group[0].counts.packed_bytes


def mean_top1(group: Sequence[Run]) -> float:
    """Of repetitions of a run."""
    return mean(_top1(run) for run in group)


def _top1(run: Run) -> float:
    return run.test.top1


Trait = tuple[str, Callable[[Run], bool], tuple[str, ...]]
#: (what differs, whether a run has it, keys of Run.identity that may differ then)
TRAITS: tuple[Trait, ...] = (
    (
        "without improvement blocks",
        lambda run: not (run.has_improvement or run.is_mobilenet),
        ("improvement",),
    ),
    ("float weights and activations", lambda run: run.is_full_precision, ("binary",)),
    (
        "distilled",
        lambda run: run.teacher is not None,
        ("teacher", "distillation", "distillation_temperature"),
    ),
    ("initialised from trained weights", lambda run: run.start is not None, ("start",)),
)


def _without(run: Run, keys: Sequence[str]) -> dict[str, object]:
    return {key: value for key, value in run.identity.items() if key not in keys}


def group_repetitions(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that differ in their seed alone, together; in the order of their first."""
    groups: list[list[Run]] = []
    for run in runs:
        same = next((group for group in groups if group[0].identity == run.identity), None)
        if same is None:
            groups.append([run])
        else:
            same.append(run)
    return groups


def _families(
    runs: Sequence[Run], has_trait: Callable[[Run], bool], keys: Sequence[str]
) -> Iterator[list[Run]]:
    """For each run with the trait, once: all runs that differ from it in `keys` and seed alone."""
    seen: list[dict[str, object]] = []
    for run in runs:
        rest = _without(run, keys)
        if has_trait(run) and rest not in seen:
            seen.append(rest)
            yield [r for r in runs if _without(r, keys) == rest]


def compare_pairs(runs: Sequence[Run]) -> list[str]:
    """Runs that differ in one thing, seeds taken together."""
    rows = []
    for name, has_trait, keys in TRAITS:
        for family in _families(runs, has_trait, keys):
            without = [run for run in family if not has_trait(run)]
            with_it = [run for run in family if has_trait(run)]
            if without:
                rows += [_pair(name, without, group) for group in group_repetitions(with_it)]
    if not rows:
        return []
    head = ["what differs", "of", "top-1 % without it", "with it", "difference", "on validation"]
    return ["### One thing changed", make_table(head, rows)]


def _pair(name: str, without: Sequence[Run], with_it: Sequence[Run]) -> list[str]:
    seeds = [{run.recipe.seed for run in group} for group in (without, with_it)]
    if shared := seeds[0] & seeds[1]:  # like with like
        without = [run for run in without if run.recipe.seed in shared]
        with_it = [run for run in with_it if run.recipe.seed in shared]
    columns = [[_top1(run) for run in group] for group in (without, with_it)]
    validation = [validation_accuracies(group) for group in (without, with_it)]
    both = all(validation)
    return [
        name,
        f"{without[0].describe()}, {without[0].recipe.epochs} epochs",
        spread(columns[0]),
        spread(columns[1]),
        f"{mean(columns[1]) - mean(columns[0]):+.1f}",
        f"{mean(validation[1]) - mean(validation[0]):+.1f}" if both else "",
    ]


def validation_accuracies(runs: Sequence[Run]) -> list[float]:
    """Top-1 in percent, of the runs that had a validation split."""
    return [run.validation_top1 for run in runs if run.validation_top1 is not None]


def sweep_shifts(runs: Sequence[Run]) -> list[str]:
    """Accuracy by threshold shift, where more than one was tried with the same recipe."""
    head = ["shift", "top-1 %", "validation top-1 %", "share of activations that are +1"]
    tables: list[str] = []
    for group in _families(runs, lambda run: run.shift != 0, ("shift",)):
        rows = []
        for shift in sorted({run.shift for run in group}):
            same = [run for run in group if run.shift == shift]
            shares = [r.test.positive_share for r in same if r.test.positive_share]
            rows.append(
                [
                    f"{shift:+g}",
                    spread([_top1(run) for run in same]),
                    spread(validation_accuracies(same)),
                    f"{mean(shares):.1%}" if shares else "not measured",
                ]
            )
        tables += [f"### Threshold shift of {group[0].network}", make_table(head, rows)]
    return tables
