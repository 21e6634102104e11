"""Our own attacks: uniform noise, and projected gradient descent through the network's layers.

PGD (Madry et al. 2018) takes gradients through the straight-through estimator of
models.networks.binary, as a training does, and leaves an image as soon as it is fooled.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.attacks.threat import LEVELS, Goal, Threat
from models.errors import NoGradients

BATCH = 50  # images at a time


def clip(pixels: Tensor, around: Tensor, eps: float) -> Tensor:
    """Within eps of `around`, and a pixel's value; float32."""
    around = around.float()
    return torch.minimum(torch.maximum(pixels, around - eps), around + eps).clamp(0, LEVELS)


def round_within(pixels: Tensor, around: Tensor, eps: float) -> Tensor:
    """To whole levels, not further than eps from `around`, which has whole levels: uint8."""
    return clip(pixels.round(), around, float(int(eps))).to(torch.uint8)


def add_noise(pixels: Tensor, eps: float, seed: int) -> Tensor:
    """Uniform noise, one draw an image: float32 [N, 3, S, S] in 0..255."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(pixels.shape, generator=generator).mul_(2).sub_(1)
    return clip(pixels + eps * noise, pixels, eps)


@torch.no_grad()
def predict(network: nn.Module, pixels: Tensor, batch: int = BATCH) -> Tensor:
    """Logits [N, classes] of pixels 0..255."""
    return torch.cat([network(some.float()) for some in pixels.split(batch)])


def run_pgd(
    network: nn.Module,
    pixels: Tensor,
    goal: Goal,
    eps: float,
    threat: Threat,
    steps: int = 0,
    goes_on: bool = False,
) -> Tensor:
    """Changed pixels, float32 [N, 3, S, S], from one random start.

    steps: if not the threat's; goes_on: also with images that are fooled, for attacks on another
    network. Raises NoGradients.
    """
    steps = steps or threat.steps
    size = 2.5 * eps / steps if threat.step_size is None else threat.step_size
    found = add_noise(pixels, eps, threat.seed)
    for rows in torch.arange(len(pixels)).split(BATCH):
        left = rows
        for _ in range(steps):
            inputs = found[left].requires_grad_(True)
            logits = network(inputs)
            open_ = ~goal.select(left).reached(logits.detach()) | goes_on
            left, inputs_left = left[open_], found[left[open_]]
            if not len(left):
                break
            losses = goal.select(left).loss(logits[open_])
            (gradient,) = torch.autograd.grad(losses.sum(), inputs)
            check_finite(gradient)
            moved = inputs_left + size * gradient[open_].sign()
            found[left] = clip(moved, pixels[left], eps)
    return found


def check_finite(gradient: Tensor) -> None:
    """Raises NoGradients."""
    if not gradient.isfinite().all():
        raise NoGradients(
            "expected finite gradients of the network; found NaN or infinite ones. Check the "
            "weights, or attack by scores alone: --attacks noise,square"
        )
