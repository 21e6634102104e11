"""models.attacks.threat: limits are checked by name, goals know when they are reached."""

import math

import pytest
import torch

from models.attacks.threat import Goal, Threat, check_attacks, choose_goal
from models.errors import RecipeError


@pytest.mark.parametrize("eps", [(), (0.0,), (-1.0,), (255.5,), (math.nan,), (math.inf,), (1.0, 0)])
def test_eps_outside_of_a_pixel_is_refused(eps: tuple[float, ...]) -> None:
    with pytest.raises(RecipeError, match=r"expected --eps as numbers above 0, at most 255"):
        Threat(eps)


@pytest.mark.parametrize("eps", [(2.0, 1.0), (1.0, 1.0)])
def test_eps_not_ascending_is_refused(eps: tuple[float, ...]) -> None:
    with pytest.raises(RecipeError, match=r"expected --eps in ascending order"):
        Threat(eps)


@pytest.mark.parametrize(("name", "value"), [("steps", 0), ("queries", 2), ("draws", 0)])
def test_counts_too_small_are_refused(name: str, value: int) -> None:
    with pytest.raises(RecipeError, match=rf"expected --{name} from \d on; found {value}"):
        Threat((1.0,), **{name: value})


def test_an_untargeted_goal_is_any_other_answer() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [1.0, 1.0, 0.0]])
    goal = Goal(torch.tensor([0, 0, 0]))
    assert goal.reached(logits).tolist() == [False, True, False]  # equal: the lower index
    assert goal.margin(logits).tolist() == [-1, 1, 0]
    assert (goal.loss(logits)[1] > goal.loss(logits)[0]).item()


def test_a_targeted_goal_is_one_answer() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0]])
    goal = Goal(torch.tensor([1, 1]), targeted=True)
    assert goal.reached(logits).tolist() == [False, True]
    assert goal.margin(logits).tolist() == [-1, 1]
    assert (goal.loss(logits)[1] > goal.loss(logits)[0]).item()
    assert goal.select(slice(0, 1)).targeted


def test_a_target_is_never_the_class_that_is_shown(seed: int) -> None:
    labels = torch.arange(5).repeat(40)
    goal = choose_goal(labels, 5, Threat((1.0,), seed=seed, targeted=True))
    assert (goal.labels != labels).all()
    assert set(goal.labels.tolist()) == set(range(5))
    assert torch.equal(choose_goal(labels, 5, Threat((1.0,))).labels, labels)


def test_attacks_are_named_and_ordered() -> None:
    assert check_attacks(["square", "noise", "square"], False) == ("noise", "square")
    for names in ([], [""], ["noise", "deepfool"]):
        with pytest.raises(RecipeError, match=r"expected --attacks of noise, fgsm, pgd, apgd"):
            check_attacks(names, False)


@pytest.mark.parametrize(("names", "given"), [(["transfer"], False), (["noise"], True)])
def test_transfer_needs_a_surrogate_and_it_alone(names: list[str], given: bool) -> None:
    with pytest.raises(RecipeError, match=r"expected --surrogate"):
        check_attacks(names, given)
