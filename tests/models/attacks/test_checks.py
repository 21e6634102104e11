"""models.attacks.checks: each check passes on strong attacks and fails on weak ones."""

import pytest
import torch
from torch import Tensor

from models.attacks.checks import check_results
from models.records.attack import OWN, WHITE, Check

COUNT = 100
STRONG = {
    "noise": {1.0: 98, 2.0: 96},
    OWN: {1.0: 20, 2.0: 2},
    "fgsm": {1.0: 40, 2.0: 30},
    "pgd": {1.0: 21, 2.0: 1},
    "apgd": {1.0: 19, 2.0: 0},
    "square": {1.0: 80, 2.0: 70},
    WHITE: {1.0: 18, 2.0: 0},
}
Percents = dict[str, dict[float, int]]


def mask(percent: int) -> Tensor:
    return torch.arange(COUNT) < percent


def run_checks(percents: Percents, huge: int = 0, doubled: int = 19) -> dict[str, Check]:
    stays = {name: {eps: mask(p) for eps, p in by.items()} for name, by in percents.items()}
    checks = check_results(stays, mask(huge), {1.0: mask(doubled), 2.0: mask(2)})
    return {check.name: check for check in checks}


def failed(percents: Percents, **others: int) -> list[str]:
    return [name for name, check in run_checks(percents, **others).items() if not check.passed]


def test_strong_attacks_pass_all() -> None:
    checks = run_checks(STRONG)
    assert len(checks) == 12
    assert all(check.passed for check in checks.values())


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({OWN: {1.0: 20, 2.0: 23}, "pgd": {1.0: 21, 2.0: 22}}, "own pgd leaves fewer with larger"),
        ({"apgd": {1.0: 19, 2.0: 25}}, "apgd leaves fewer with larger eps"),
        ({"fgsm": {1.0: 10, 2.0: 30}}, "own pgd leaves no more than fgsm"),
        ({"pgd": {1.0: 30, 2.0: 1}}, "the two implementations of PGD agree"),
        ({"square": {1.0: 5, 2.0: 5}}, "white box leaves no more than square, within intervals"),
        ({"noise": {1.0: 60, 2.0: 50}}, "square leaves no more than noise, within intervals"),
        ({"noise": {1.0: 5, 2.0: 0}}, "white box leaves no more than noise, within intervals"),
    ],
)
def test_each_sign_of_weakness_is_found(changed: Percents, expected: str) -> None:
    assert any(name.startswith(expected) for name in failed(STRONG | changed, doubled=20))


def test_a_huge_change_has_to_fool_nearly_all() -> None:
    assert failed(STRONG, huge=1) == []
    assert failed(STRONG, huge=2) == ["at eps 64 at most 1 % stay right"]


def test_more_steps_may_not_find_more() -> None:
    assert failed(STRONG, doubled=18) == []
    assert failed(STRONG, doubled=17) == ["twice the steps change at most 2 points"]
    check = run_checks(STRONG, doubled=17)["twice the steps change at most 2 points"]
    assert check.told == "1: 20 and 17 %"


def test_only_what_was_run_is_checked() -> None:
    assert check_results({"noise": {1.0: mask(90)}}) == ()
    checks = check_results({"noise": {1.0: mask(90)}, "square": {1.0: mask(50)}})
    assert [check.name for check in checks] == [
        "square leaves no more than noise, within intervals"
    ]
