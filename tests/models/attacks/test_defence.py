"""models.attacks.defence: draws are averaged as an attacker should, and the score has two terms."""

import math

import pytest
import torch
from torch import Tensor

from models.attacks.defence import (
    ATTACKERS,
    Cost,
    InputNoise,
    Shown,
    _sum_gradients,
    find_score,
    measure_cost,
    measure_defence,
    parse_defence,
    run_against_noise,
)
from models.attacks.gradients import run_pgd
from models.attacks.threat import Goal, Threat
from models.errors import RecipeError
from tests.models.small_networks import ByMeans

PIXELS = torch.full((4, 3, 5, 5), 100, dtype=torch.uint8) + torch.tensor(
    [0, 0, 4], dtype=torch.uint8
).view(3, 1, 1)
GOAL = Goal(torch.zeros(4, dtype=torch.int64))


def defend(sd: float = 5.0) -> InputNoise:
    return InputNoise(sd, ByMeans(), torch.Generator().manual_seed(1))


@pytest.mark.parametrize("text", ["noise", "noise:", "noise:0", "noise:nan", "noise:256", "blur:3"])
def test_other_defences_are_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=r"expected --defence noise:SD"):
        parse_defence(text)
    assert parse_defence("noise:5") == 5


def test_each_draw_is_another() -> None:
    logits = defend().draw(PIXELS, 3)
    assert logits.shape == (3, 4, 2)
    assert not torch.equal(logits[0], logits[1])


class Unlikely(ByMeans):
    """Logits so far apart that probabilities underflow in float32."""

    def forward(self, pixels: Tensor) -> Tensor:
        return 1000 * super().forward(pixels)


@pytest.mark.parametrize("targeted", [False, True])
def test_the_gradient_is_that_of_the_log_of_the_mean_probability(targeted: bool) -> None:
    goal = Goal(torch.ones(4, dtype=torch.int64) if targeted else GOAL.labels, targeted)
    found = _sum_gradients(defend(), PIXELS.float(), goal, 6, "mean probability")
    inputs = PIXELS.float().requires_grad_(True)
    again = defend()
    likely = torch.stack([again(inputs).log_softmax(1) for _ in range(6)]).logsumexp(0)
    chosen = likely.gather(1, goal.labels[:, None]).sum()
    (expected,) = torch.autograd.grad(chosen if targeted else -chosen, inputs)
    scale = expected.abs().amax((1, 2, 3), keepdim=True) / found.abs().amax((1, 2, 3), keepdim=True)
    assert torch.allclose(found * scale, expected, rtol=1e-4, atol=1e-7)


def test_probabilities_too_small_for_a_float_still_have_a_gradient() -> None:
    goal = Goal(torch.ones(4, dtype=torch.int64), targeted=True)
    defended = InputNoise(1.0, Unlikely(), torch.Generator().manual_seed(1))
    found = _sum_gradients(defended, PIXELS.float(), goal, 6, "mean probability")
    assert found.isfinite().all()
    assert (found != 0).any()


@pytest.mark.parametrize("attacker", ATTACKERS[1:])
def test_each_attacker_crosses_a_border_within_reach(attacker: str) -> None:
    found = run_against_noise(defend(1.0), PIXELS, GOAL, 4.0, Threat((4.0,), draws=3), attacker)
    assert (found - PIXELS.float()).abs().max() <= 4
    assert GOAL.reached(ByMeans()(found)).all()


def test_cost_and_its_error_are_those_of_paired_differences() -> None:
    cost = measure_cost(torch.tensor([1, 1, 0, 1]), torch.tensor([0.5, 1.0, 0.5, 0.0]))
    differences = torch.tensor([50.0, 0.0, -50.0, 100.0])
    assert (cost.without, cost.accuracy, cost.points) == (75, 50, 25)
    assert cost.standard_error == pytest.approx(differences.std().item() / 2)


def test_the_score_is_gain_over_cost_and_never_infinite() -> None:
    assert find_score(60, 10, Cost(80, 75, 5, 1)) == 10
    assert find_score(5, 10, Cost(80, 75, 5, 1)) == -1
    for points, error in ((0, 0), (-2, 1), (1, 1), (0.5, 1)):
        assert find_score(60, 10, Cost(80, 80 - points, points, error)) is None


def test_a_defence_is_judged_by_the_strongest_attacker() -> None:
    network, threat = ByMeans(), Threat((1.0, 4.0), steps=5, draws=2)
    found = {eps: run_pgd(network, PIXELS, GOAL, eps, threat) for eps in threat.eps}
    shown = Shown(PIXELS, GOAL.labels)
    figures = measure_defence(network, 10.0, shown, PIXELS, GOAL, threat, found)
    assert figures.accuracy_without == 100
    assert figures.cost == pytest.approx(100 - figures.accuracy, abs=0.01)
    for score in figures.scores:
        assert [attacker.name for attacker in score.attackers] == list(ATTACKERS)
        lowest = min(attacker.stays.percent for attacker in score.attackers)
        assert score.failed == lowest
        assert all(a.worst.percent <= a.stays.percent for a in score.attackers)
        assert score.des is None or math.isfinite(score.des)
    assert [score.failed_without for score in figures.scores] == [100, 0]
