"""Self-checks of attacks (Carlini et al. 2019): a failed one means that the attack is too weak.

Weak attacks make any network look robust, so that figures without these checks say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

from torch import Tensor

from models.attacks.intervals import share_of
from models.records.attack import OWN, WHITE, Check, Share

HUGE = 64.0  # levels: an image may be changed out of all recognition
LEFT = 1.0  # percent that may stay right then
POINTS = 2.0  # of percent, that a comparison may be off
IMAGES = 3  # that two runs of PGD may differ by, where that is more than POINTS
ITERATIVE = (OWN, "pgd", "apgd", WHITE)

Stays = Mapping[float, Tensor]  # eps -> bool [N], which images stay right


def check_results(
    stays: Mapping[str, Stays], huge: Tensor | None = None, doubled: Stays | None = None
) -> tuple[Check, ...]:
    """All checks that these attacks allow.

    stays: of each attack by name; huge: of our PGD at eps HUGE; doubled: of it with twice the
    steps.
    """
    shares = {name: {e: share_of(mask) for e, mask in by.items()} for name, by in stays.items()}
    checks = [_fall(name, shares[name]) for name in ITERATIVE if len(shares.get(name, ())) > 1]
    if huge is not None:
        share = share_of(huge)
        checks.append(
            Check(
                name=f"at eps {HUGE:g} at most {LEFT:g} % stay right",
                passed=share.percent <= LEFT,
                told=f"{share.percent:g} %",
            )
        )
    if doubled is not None:
        more = {eps: share_of(mask) for eps, mask in doubled.items()}
        name = f"twice the steps change at most {POINTS:g} points"
        checks.append(_compare(name, shares[OWN], more, _differ_little))
    for pgd in (OWN, "pgd"):
        if pgd in shares and "fgsm" in shares:
            name = f"{pgd} leaves no more than fgsm"
            checks.append(_compare(name, shares[pgd], shares["fgsm"], _is_lower))
    if OWN in shares and "pgd" in shares:
        name = "the two implementations of PGD agree"
        checks.append(_compare(name, shares[OWN], shares["pgd"], _agree))
    for strong, weak in ((WHITE, "square"), ("square", "noise"), (WHITE, "noise")):
        if strong in shares and weak in shares:
            name = f"{strong} leaves no more than {weak}, within intervals"
            checks.append(_compare(name, shares[strong], shares[weak], _may_be_lower))
    return tuple(checks)


def _fall(name: str, shares: Mapping[float, Share]) -> Check:
    values = [shares[eps].percent for eps in sorted(shares)]
    return Check(
        name=f"{name} leaves fewer with larger eps",
        passed=all(after <= before + POINTS for before, after in pairwise(values)),
        told=", ".join(f"{value:g}" for value in values) + " %",
    )


def _compare(
    name: str,
    left: Mapping[float, Share],
    right: Mapping[float, Share],
    fits: Callable[[Share, Share], bool],
) -> Check:
    """The check `fits` of all eps that both have; told: the first that fails, else the last."""
    both = [(eps, left[eps], right[eps]) for eps in sorted(left) if eps in right]
    failed = [(eps, one, other) for eps, one, other in both if not fits(one, other)]
    told = "; ".join(_tell(failed or both))
    return Check(name=name, passed=not failed, told=told)


def _tell(rows: list[tuple[float, Share, Share]]) -> Iterator[str]:
    for eps, one, other in rows:
        yield f"{eps:g}: {one.percent:g} and {other.percent:g} %"


def _is_lower(one: Share, other: Share) -> bool:
    return one.percent <= other.percent + POINTS


def _may_be_lower(one: Share, other: Share) -> bool:
    return one.low <= other.high


def _differ_little(one: Share, other: Share) -> bool:
    return abs(one.percent - other.percent) <= POINTS


def _agree(one: Share, other: Share) -> bool:
    return abs(one.percent - other.percent) <= max(POINTS, 100 * IMAGES / one.images)
