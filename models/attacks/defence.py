"""Gaussian noise at the input as a defence, attacked by those who know it, and its score.

The Defense Efficiency Score (Wang et al. 2019) is the share of attacks that it makes fail, per
point of accuracy that it costs. An attacker who averages over draws must take -log of the mean
probability: the mean cross-entropy is dominated by draws that are fooled already, and then makes
the defence look better than it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.attacks.gradients import add_noise, check_finite, clip
from models.attacks.intervals import share_of
from models.attacks.threat import LEVELS, Goal, Threat
from models.errors import RecipeError
from models.records.attack import Attacker, DefenceFigures, Score

BATCH = 50  # images at a time
NEW_DRAWS = 20  # that an attacked image is judged by
KNOWN = "noise"
ATTACKERS = ("undefended", "one draw a step", "mean probability", "mean margin")


@dataclass(frozen=True)
class InputNoise:
    """Adds Gaussian noise of this standard deviation, in levels, to all pixels at each question."""

    sd: float
    network: nn.Module
    generator: torch.Generator

    def __call__(self, pixels: Tensor) -> Tensor:
        noise = torch.randn(pixels.shape, generator=self.generator)
        logits: Tensor = self.network(pixels + self.sd * noise)
        return logits

    @torch.no_grad()
    def draw(self, pixels: Tensor, draws: int) -> Tensor:
        """Logits [draws, N, classes]."""
        parts = pixels.float().split(BATCH)
        return torch.stack([torch.cat([self(some) for some in parts]) for _ in range(draws)])


def parse_defence(text: str) -> float:
    """SD of "noise:SD". Raises RecipeError."""
    kind, _, number = text.partition(":")
    try:
        sd = float(number)
    except ValueError:
        sd = math.nan
    if kind != KNOWN or not 0 < sd <= LEVELS:
        raise RecipeError(
            f"expected --defence {KNOWN}:SD, a standard deviation above 0, at most {LEVELS:g} "
            f"levels, such as {KNOWN}:5; found {text:.40}"
        )
    return sd


def run_against_noise(
    defended: InputNoise, pixels: Tensor, goal: Goal, eps: float, threat: Threat, attacker: str
) -> Tensor:
    """PGD of one of ATTACKERS but the first: changed pixels, float32 [N, 3, S, S]."""
    size = 2.5 * eps / threat.steps if threat.step_size is None else threat.step_size
    draws = 1 if attacker == ATTACKERS[1] else threat.draws
    found = add_noise(pixels, eps, threat.seed)
    for rows in torch.arange(len(pixels)).split(BATCH):
        x, around, some = found[rows], pixels[rows], goal.select(rows)
        for _ in range(threat.steps):
            gradient = _sum_gradients(defended, x, some, draws, attacker)
            x = clip(x + size * gradient.sign(), around, eps)
        found[rows] = x
    return found


def _sum_gradients(
    defended: InputNoise, pixels: Tensor, goal: Goal, draws: int, attacker: str
) -> Tensor:
    """Of the loss over draws, each image's up to a positive factor: its sign is what counts.

    The gradient of log mean p is the sum of the gradients of log p, weighted by p; the weights are
    kept relative to the largest p so far, which may be very small.
    """
    total = torch.zeros_like(pixels)
    largest = torch.full((len(pixels), 1, 1, 1), -torch.inf)
    for _ in range(draws):
        inputs = pixels.detach().requires_grad_(True)
        logits = defended(inputs)
        by_margin = attacker == ATTACKERS[3]
        losses = goal.margin(logits) if by_margin else goal.loss(logits)
        (gradient,) = torch.autograd.grad(losses.sum(), inputs)
        check_finite(gradient)
        if by_margin:
            total += gradient
            continue
        likely = logits.detach().log_softmax(1).gather(1, goal.labels[:, None])[..., None, None]
        larger = torch.maximum(largest, likely)
        total = total * (largest - larger).exp() + gradient * (likely - larger).exp()
        largest = larger
    return total


def judge(defended: InputNoise, pixels: Tensor, goal: Goal, name: str) -> Attacker:
    """How often the goal is missed, in NEW_DRAWS new draws."""
    missed = torch.stack([~goal.reached(logits) for logits in defended.draw(pixels, NEW_DRAWS)])
    return Attacker(
        name=name, stays=share_of(missed.double().mean(0)), worst=share_of(missed.all(0))
    )


@dataclass(frozen=True)
class Cost:
    """Accuracy without and with a defence in percent, the difference, and its standard error."""

    without: float
    accuracy: float
    points: float
    standard_error: float


def measure_cost(right: Tensor, right_defended: Tensor) -> Cost:
    """right: [N] of 0 and 1; right_defended: [N], shares of draws; of the same images."""
    right, right_defended = 100 * right.double(), 100 * right_defended.double()
    differences = right - right_defended
    error = differences.std().item() / math.sqrt(len(differences))
    return Cost(right.mean().item(), right_defended.mean().item(), differences.mean().item(), error)


def find_score(failed: float, failed_without: float, cost: Cost) -> float | None:
    """DES, percent over percent; None where the cost is not above its standard error."""
    if cost.points <= cost.standard_error:
        return None
    return (failed - failed_without) / cost.points


@dataclass(frozen=True)
class Shown:
    """All images looked at, uint8 [N, 3, S, S], and the classes they show, int64 [N]."""

    pixels: Tensor
    labels: Tensor


def measure_defence(
    network: nn.Module,
    sd: float,
    shown: Shown,
    attacked: Tensor,
    goal: Goal,
    threat: Threat,
    undefended: Mapping[float, Tensor],
) -> DefenceFigures:
    """attacked: uint8 images that the network is right on; undefended: eps -> what our PGD made of
    them without a defence.
    """
    defended = InputNoise(sd, network, torch.Generator().manual_seed(threat.seed))
    labels = shown.labels
    with torch.no_grad():
        plain = torch.cat([network(some) for some in shown.pixels.float().split(BATCH)])
    right = (plain.argmax(1) == labels).double()
    draws = defended.draw(shown.pixels, NEW_DRAWS)
    cost = measure_cost(right, (draws.argmax(2) == labels).double().mean(0))
    scores = []
    for eps in threat.eps:
        attackers = [judge(defended, undefended[eps], goal, ATTACKERS[0])]
        for name in ATTACKERS[1:]:
            found = run_against_noise(defended, attacked, goal, eps, threat, name)
            attackers.append(judge(defended, found, goal, name))
        strongest = min(attackers, key=lambda attacker: attacker.stays.percent)
        with torch.no_grad():
            found = undefended[eps]
            logits = torch.cat([network(some) for some in found.split(BATCH)])
        without = share_of(~goal.reached(logits)).percent
        des = find_score(strongest.stays.percent, without, cost)
        scores.append(
            Score(
                eps=eps,
                attackers=tuple(attackers),
                strongest=strongest.name,
                failed=strongest.stays.percent,
                failed_without=without,
                des=None if des is None else round(des, 2),
            )
        )
    return DefenceFigures(
        name=f"{KNOWN}:{sd:g}",
        draws=threat.draws,
        accuracy=round(cost.accuracy, 2),
        accuracy_without=round(cost.without, 2),
        cost=round(cost.points, 2),
        standard_error=round(cost.standard_error, 2),
        scores=tuple(scores),
    )
