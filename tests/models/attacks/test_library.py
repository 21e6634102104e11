"""models.attacks.library: ART's attacks on a small network; without ART, how to get it."""

import importlib.util
import sys

import numpy as np
import pytest
import torch

from models.attacks.gradients import predict, run_pgd
from models.attacks.library import _Asked, check_library, run_by_gradients, run_square
from models.attacks.threat import WHITE_BOX, Goal, Threat
from models.errors import RecipeError
from tests.models.small_networks import ByMeans

PIXELS = torch.full((6, 3, 8, 8), 100, dtype=torch.uint8) + torch.tensor(
    [0, 0, 4], dtype=torch.uint8
).view(3, 1, 1)
GOAL = Goal(torch.zeros(6, dtype=torch.int64))
TARGETS = Goal(torch.ones(6, dtype=torch.int64), targeted=True)


@pytest.fixture
def art() -> None:
    if importlib.util.find_spec("art") is None:
        pytest.skip("the Adversarial Robustness Toolbox is not installed: make attacks")


class ThreeClasses(ByMeans):
    """With a third class that is never likely: the ratio of APGD's second loss needs three."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits = super().forward(pixels)
        return torch.cat((logits, logits[:, :1] - 100), 1)


@pytest.mark.usefixtures("art")
@pytest.mark.parametrize("name", WHITE_BOX)
@pytest.mark.parametrize("goal", [GOAL, TARGETS])
def test_attacks_by_gradients_cross_a_border_within_reach(name: str, goal: Goal) -> None:
    state = np.random.get_state()[1]
    for eps, fooled in ((1.0, False), (4.0, True)):
        found = run_by_gradients(name, ThreeClasses(), PIXELS, goal, eps, Threat((eps,), steps=10))
        assert (found - PIXELS.float()).abs().max() <= eps + 1e-4
        assert goal.reached(predict(ThreeClasses(), found)).all().item() is fooled
    assert np.array_equal(state, np.random.get_state()[1])


@pytest.mark.usefixtures("art")
def test_both_implementations_of_pgd_agree() -> None:
    threat = Threat((2.05,), steps=20)
    found = run_by_gradients("pgd", ByMeans(), PIXELS, GOAL, 2.05, threat)
    own = run_pgd(ByMeans(), PIXELS, GOAL, 2.05, threat)
    reached = [GOAL.reached(predict(ByMeans(), some)) for some in (found, own)]
    assert torch.equal(*reached)


@pytest.mark.usefixtures("art")
@pytest.mark.parametrize("goal", [GOAL, TARGETS])
def test_square_counts_each_question_once(goal: Goal) -> None:
    asked = []

    def score(pixels: torch.Tensor) -> torch.Tensor:
        asked.append(pixels.clone())
        return predict(ByMeans(), pixels)

    threat = Threat((4.0,), queries=60)
    found, needed = run_square(score, PIXELS, goal, 4.0, threat)
    assert goal.reached(predict(ByMeans(), found)).tolist() == [n is not None for n in needed]
    assert (found - PIXELS.float()).abs().max() <= 4
    assert any(n is not None for n in needed)
    assert all(n is None or 2 <= n <= threat.queries for n in needed)
    assert len(asked) <= 1 + threat.queries * len(PIXELS)  # the first finds the number of classes


@pytest.mark.usefixtures("art")
def test_square_does_not_go_on_for_more_than_its_queries() -> None:
    asked = []

    def score(pixels: torch.Tensor) -> torch.Tensor:
        asked.append(1)
        return predict(ByMeans(), pixels)

    _, needed = run_square(
        score, PIXELS[:1], GOAL.select(slice(0, 1)), 0.5, Threat((0.5,), queries=9)
    )
    assert needed == [None]
    assert len(asked) <= 1 + 9


def test_answers_are_remembered() -> None:
    count = []

    def score(pixels: torch.Tensor) -> torch.Tensor:
        count.append(len(pixels))
        return predict(ByMeans(), pixels)

    asked = _Asked(score, GOAL.select(slice(0, 1)))
    image, other = PIXELS[0].float().numpy(), PIXELS[0].float().numpy() + np.float32(1)
    for row in (image, other, image, other):
        asked(row[None])
    assert asked.count == len(count) == 2
    assert asked.needed is None
    red = np.flip(image, 0).copy()
    asked(red[None])
    assert asked.needed == 3


def test_without_art_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "art", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=r"found it not installed. Install it: make attacks"):
        check_library()
