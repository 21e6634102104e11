"""The text and the chart of ROBUSTNESS.md, from records of models.attack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.plots.robustness import Curve, write_robustness
from models.records.attack import (
    OWN,
    TOO_WEAK,
    WHITE,
    AttackRecord,
    AttackResult,
    Share,
    read_attack,
)
from models.report.document import read_notes
from runtime.measurement.tables import make_table

ATTACKS = "attacks"  # folder of the records, in that of the runs
CHART = "robustness.svg"  # in the folder of the runs
DRAWN = (WHITE, "square", "noise")

INTRODUCTION = (
    "Made by `python -m models.report` from the records in [`runs/attacks`](runs/attacks), answers "
    "of `python -m models.attack` ([how](README.md#attacks)); every number in a table comes from "
    "one of them. An attack may change each value of the network's input image (after resizing and "
    "cropping) by at most eps of 255 levels. Attacked are images that the network is right on, so "
    'not the same ones for each network; "stays right" is the share of them that it is still right '
    "on. In brackets: 95 % intervals (Wilson)."
)


@dataclass(frozen=True)
class Attacked:
    """A record, and the name of its file."""

    name: str
    record: AttackRecord

    @property
    def title(self) -> str:
        """The network as tables name it, with a link to the record."""
        network = self.record.network.partition(" (")[0]
        return f"[{network}](runs/{ATTACKS}/{self.name}.json)"

    def share(self, attack: str, eps: float, of: Callable[[AttackResult], Share]) -> Share | None:
        for result in self.record.results:
            if (result.attack, result.eps) == (attack, eps):
                return of(result)
        return None


def read_attacks(folder: Path) -> list[Attacked]:
    """All records of a folder. Raises DataError for a file that is none."""
    return [Attacked(path.stem, read_attack(path)) for path in sorted(folder.glob("*.json"))]


def write_robustness_chart(attacked: Sequence[Attacked], folder: Path) -> None:
    """Of the records whose self-checks passed, one line for each network and its gradients."""
    curves = []
    for one in attacked:
        names = {result.attack for result in one.record.results}
        if one.record.strong and names >= set(DRAWN):
            shares = {
                name: {r.eps: r.stays for r in one.record.results if r.attack == name}
                for name in DRAWN
            }
            kind = "binary" if one.record.binary else "float"
            title = f"{one.record.network.partition(' (')[0]}, {one.record.side} px, {kind}"
            curves.append(Curve(title, one.record.binary, shares))
    if curves:
        write_robustness(curves, DRAWN, folder / CHART)


def make_robustness(attacked: Sequence[Attacked], folder: Path) -> str:
    """The text; `folder` has NOTES.md, which is copied into it."""
    notes = read_notes(folder)
    parts = ["# Robustness: measured", INTRODUCTION, *([notes.strip()] if notes else [])]
    parts += [
        f"![What stays right, against eps](runs/{CHART})",
        "## The networks",
        _network_table(attacked),
        "## With the weights (white box)",
        "An image counts only if it stays right under each attack by gradients that was run: our "
        "own PGD, and ART's FGSM, PGD and APGD.",
        _eps_table(attacked, WHITE, lambda result: result.stays),
        "### As a file",
        "The same, with changes rounded to whole levels, written as PNG, and answered by the "
        "bundle's engine. Less than 1 level cannot be in a file.",
        _eps_table(attacked, WHITE, lambda result: result.file),
        "### Each attack",
        _attack_table(attacked),
        "## Without the weights",
        "Uniform noise, one draw; Square by scores of the engine; transfer from another network of "
        "the same classes.",
        *[
            f"**{name}**\n\n{_eps_table(attacked, name, lambda result: result.stays)}"
            for name in ("noise", "square", "transfer")
            if any(one.record.results and _has(one, name) for one in attacked)
        ],
        *_tell_queries(attacked),
        *_tell_defences(attacked),
        "## Self-checks",
        f'A record with a failed check is stamped "{TOO_WEAK}", its figures are not shown above.',
        _check_table(attacked),
        "## The records",
        _record_table(attacked),
    ]
    return "\n\n".join(parts) + "\n"


def _has(one: Attacked, attack: str) -> bool:
    return any(result.attack == attack for result in one.record.results)


def _tell(share: Share | None) -> str:
    return "" if share is None else f"{share.percent:.0f} ({share.low:.0f}-{share.high:.0f})"


def _network_table(attacked: Sequence[Attacked]) -> str:
    rows = [
        [
            one.title,
            "binary" if one.record.binary else "float",
            f"{one.record.side}x{one.record.side}",
            f"{one.record.classes}{' (kinds)' if one.record.grouped else ''}",
            one.record.gradients or "none",
            f"{_tell(one.record.clean)} of {one.record.clean.images:,}",
            f"{one.record.images:,}",
            "targeted" if one.record.targeted else "any other answer",
        ]
        for one in attacked
    ]
    head = ["network", "kind", "pixels", "classes", "gradients from", "right %, before"]
    return make_table([*head, "attacked", "goal"], rows)


def _eps_table(
    attacked: Sequence[Attacked], attack: str, of: Callable[[AttackResult], Share]
) -> str:
    """Percent that stay right, a column for each eps."""
    mine = [one for one in attacked if _has(one, attack)]
    eps = sorted({r.eps for one in mine for r in one.record.results if r.attack == attack})
    rows = []
    for one in mine:
        cells = [_tell(one.share(attack, e, of)) for e in eps]
        rows.append([one.title, *(cells if one.record.strong else [TOO_WEAK] * len(eps))])
    return make_table(["stays right %, eps", *(f"{e:g}" for e in eps)], rows)


def _attack_table(attacked: Sequence[Attacked]) -> str:
    """Of attacks by gradients: at each eps what each of them left."""
    names = (OWN, "fgsm", "pgd", "apgd")
    rows = []
    for one in attacked:
        if not one.record.strong:
            continue
        for eps in sorted({r.eps for r in one.record.results if r.attack in names}):
            cells = [_tell(one.share(name, eps, lambda result: result.stays)) for name in names]
            rows.append([one.title, f"{eps:g}", *cells])
    return make_table(["stays right %", "eps", *names], rows)


def _tell_queries(attacked: Sequence[Attacked]) -> Iterator[str]:
    rows = []
    for one in attacked:
        for queries in one.record.queries_to_success if one.record.strong else ():
            needed = queries.needed
            quarters = [needed[len(needed) * k // 4] for k in (1, 2, 3)] if needed else []
            rows.append(
                [
                    one.title,
                    f"{queries.eps:g}",
                    f"{one.record.queries:,}",
                    f"{len(needed)} of {queries.images}",
                    *([str(count) for count in quarters] or [""] * 3),
                ]
            )
    if rows:
        head = ["queries of square until success", "eps", "allowed", "succeeded"]
        yield "### Queries to success"
        yield make_table([*head, "a quarter within", "half within", "three quarters within"], rows)


def _tell_defences(attacked: Sequence[Attacked]) -> Iterator[str]:
    rows = []
    for one in attacked:
        defence = one.record.defence
        for score in defence.scores if defence and one.record.strong else ():
            assert defence is not None
            worst = next(a.worst for a in score.attackers if a.name == score.strongest)
            rows.append(
                [
                    f"{one.title}, {defence.name}",
                    f"{score.eps:g}",
                    f"{one.record.steps} / {defence.draws}",
                    f"{score.failed_without:g} to {score.failed:g}",
                    score.strongest,
                    f"{worst.percent:g}",
                    f"{score.failed - score.failed_without:.1f}",
                    f"{defence.accuracy_without:g} to {defence.accuracy:g}",
                    f"{defence.cost:.2f} ({defence.standard_error:.2f})",
                    "no measurable cost" if score.des is None else f"{score.des:.2f}",
                ]
            )
    if rows:
        yield "## Defences"
        yield (
            "Defense Efficiency Score (DES): points of attacks that the defence makes fail, over "
            "points of accuracy that it costs. Three attackers know the defence, one attacks the "
            "network without it; the strongest counts. With more steps and draws, attackers may "
            "become stronger and the gain smaller."
        )
        head = [
            "defence",
            "eps",
            "steps / draws",
            "attacks that fail %",
            "strongest attacker",
            "fail in all draws %",
        ]
        yield make_table([*head, "gain", "accuracy %", "cost (standard error)", "DES"], rows)


def _check_table(attacked: Sequence[Attacked]) -> str:
    rows = [
        [one.title, check.name, "passed" if check.passed else "**failed**", check.told]
        for one in attacked
        for check in one.record.checks
    ]
    return make_table(["network", "check", "", "figures"], rows)


def _record_table(attacked: Sequence[Attacked]) -> str:
    rows = []
    for one in attacked:
        record = one.record
        commit = record.commit or "none"
        rows.append(
            [
                f"[{one.name}](runs/{ATTACKS}/{one.name}.json)",
                record.network,
                record.surrogate or "",
                f"{record.data}, {record.split}",
                f"{record.steps} / {record.queries}",
                str(record.seed),
                f"`{commit[:10]}{'+' if '+' in commit else ''}`",
                record.engine,
                record.device,
                f"{record.seconds:.0f}",
                record.started[:10],
            ]
        )
    head = ["record", "network", "surrogate", "data", "steps / queries", "seed", "commit", "engine"]
    return make_table([*head, "device", "seconds", "day"], rows)
