"""Attacks of the Adversarial Robustness Toolbox (ART): FGSM, PGD, APGD and Square.

The only module that imports ART, which `make attacks` installs. ART draws from NumPy's global
generator; it is seeded for each attack and put back afterwards.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.attacks.gradients import BATCH, predict
from models.attacks.threat import LEVELS, Goal, Threat
from models.errors import RecipeError

Floats = NDArray[np.float32]
KEPT = 4  # answers that Square's classifier remembers: of the image, the best one and candidates
LOSSES = ("cross_entropy", "difference_logits_ratio")  # of APGD, one after the other
FIRST = 2  # queries before Square's iterations: the image itself, and stripes


def check_library() -> str:
    """Its version. Raises RecipeError if it is not installed."""
    if importlib.util.find_spec("art") is None:
        raise RecipeError(
            "expected the package adversarial-robustness-toolbox for fgsm, pgd, apgd and square; "
            "found it not installed. Install it: make attacks"
        )
    return version("adversarial-robustness-toolbox")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)


def _with_gradients(network: nn.Module, shape: tuple[int, ...], classes: int) -> Any:
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        model=network,
        loss=nn.CrossEntropyLoss(),
        input_shape=shape,
        nb_classes=classes,
        clip_values=(0.0, LEVELS),
        device_type="cpu",
    )


def _generate(attack: Any, pixels: Tensor, goal: Goal, seed: int) -> Tensor:
    with _seeded(seed):
        found = attack.generate(x=pixels.float().numpy(), y=goal.labels.numpy())
    return torch.from_numpy(found)


def run_by_gradients(
    name: str, network: nn.Module, pixels: Tensor, goal: Goal, eps: float, threat: Threat
) -> Tensor:
    """fgsm, pgd or apgd: changed pixels, float32 [N, 3, S, S].

    apgd has two losses, as in AutoAttack: cross-entropy, then the ratio of differences of logits
    (DLR) for images that stay; only the first if it is targeted, for which ART has no DLR, and for
    fewer than three classes, of which it is not defined.
    """
    from art.attacks import evasion

    with torch.no_grad():
        classes = network(pixels[:1].float()).shape[1]
    classifier = _with_gradients(network, tuple(pixels.shape[1:]), classes)
    size = 2.5 * eps / threat.steps if threat.step_size is None else threat.step_size
    shared = {"eps": eps, "targeted": goal.targeted, "batch_size": BATCH}
    if name == "fgsm":
        attack = evasion.FastGradientMethod(classifier, eps_step=eps, **shared)
        return _generate(attack, pixels, goal, threat.seed)
    iterative = {**shared, "max_iter": threat.steps, "verbose": False}
    if name == "pgd":
        attack = evasion.ProjectedGradientDescentPyTorch(
            classifier, eps_step=size, num_random_init=1, **iterative
        )
        return _generate(attack, pixels, goal, threat.seed)
    found = pixels.float()
    for loss in LOSSES[:1] if goal.targeted or classes < 3 else LOSSES:
        left = torch.nonzero(~goal.reached(predict(network, found)))[:, 0]
        if not len(left):
            break
        attack = evasion.AutoProjectedGradientDescent(
            classifier, eps_step=2 * eps, nb_random_init=1, loss_type=loss, **iterative
        )
        found[left] = _generate(attack, pixels[left], goal.select(left), threat.seed)
    return found


class _Asked:
    """A classifier of one image for Square that remembers its last answers and counts questions.

    ART's Square asks three times in each iteration, twice for what it has asked before.
    """

    def __init__(self, score: Callable[[Tensor], Tensor], goal: Goal) -> None:
        self._score, self._goal = score, goal
        self._answers: dict[bytes, Floats] = {}
        self.count = 0
        self.needed: int | None = None  # questions until the goal was reached

    def __call__(self, pixels: Floats) -> Floats:
        return np.stack([self._ask(row) for row in pixels])

    def _ask(self, row: Floats) -> Floats:
        key = blake2b(np.ascontiguousarray(row, np.float32).tobytes(), digest_size=16).digest()
        if key in self._answers:
            self._answers[key] = self._answers.pop(key)  # the newest
            return self._answers[key]
        self.count += 1
        logits = self._score(torch.from_numpy(row[None].astype(np.float32)))
        if self.needed is None and bool(self._goal.reached(logits)):
            self.needed = self.count
        while len(self._answers) >= KEPT:
            del self._answers[next(iter(self._answers))]
        self._answers[key] = logits[0].numpy()
        return self._answers[key]


def run_square(
    score: Callable[[Tensor], Tensor], pixels: Tensor, goal: Goal, eps: float, threat: Threat
) -> tuple[Tensor, list[int | None]]:
    """Square (Andriushchenko et al. 2020), by scores alone: changed pixels, and how many questions
    each image took, None where the goal was not reached.
    """
    from art.attacks.evasion import SquareAttack
    from art.estimators.classification import BlackBoxClassifierNeuralNetwork

    with torch.no_grad():
        classes = score(pixels[:1].float()).shape[1]
    found, needed = [], []
    for i, image in enumerate(pixels):
        one = goal.select(slice(i, i + 1))
        asked = _Asked(score, one)
        classifier = BlackBoxClassifierNeuralNetwork(
            asked, tuple(image.shape), classes, channels_first=True, clip_values=(0.0, LEVELS)
        )

        def reached(logits: Floats, _: Floats, one: Goal = one) -> NDArray[np.bool_]:
            return one.reached(torch.from_numpy(logits)).numpy()

        def loss(x: Floats, _: Floats, asked: _Asked = asked, one: Goal = one) -> Floats:
            return -one.margin(torch.from_numpy(asked(x))).numpy()

        attack = SquareAttack(
            classifier,
            adv_criterion=reached,
            loss=loss,
            max_iter=threat.queries - FIRST,
            eps=eps,
            verbose=False,
        )
        found.append(_generate(attack, image[None], one, threat.seed + i))
        needed.append(asked.needed)
    return torch.cat(found), needed
