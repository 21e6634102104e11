"""What an attacker may do: how far, how often and with which goal; checked before any work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.errors import RecipeError

LEVELS = 255.0  # the largest value of a pixel
WHITE_BOX = ("fgsm", "pgd", "apgd")  # use gradients of the network itself
ATTACKS = ("noise", *WHITE_BOX, "square", "transfer")
FROM_ART = (*WHITE_BOX, "square")


@dataclass(frozen=True)
class Threat:
    """Changes of at most `eps` (each of them is tried) in L-infinity, in levels of 0..255.

    steps: of attacks by gradients; queries: of Square; draws: of a random defence, in each step;
    step_size: in levels, None: 2.5 eps / steps (Madry et al. 2018). Raises RecipeError.
    """

    eps: tuple[float, ...]
    steps: int = 50
    queries: int = 1000
    draws: int = 10
    seed: int = 1
    targeted: bool = False
    step_size: float | None = None

    def __post_init__(self) -> None:
        if not self.eps or not all(math.isfinite(e) and 0 < e <= LEVELS for e in self.eps):
            raise RecipeError(
                f"expected --eps as numbers above 0, at most {LEVELS:g} (levels of a pixel); found "
                f"{', '.join(f'{e:g}' for e in self.eps) or 'none'}"
            )
        if list(self.eps) != sorted(set(self.eps)):
            raise RecipeError(
                "expected --eps in ascending order, each once; found "
                f"{', '.join(f'{e:g}' for e in self.eps)}"
            )
        for name, least in (("steps", 1), ("queries", 3), ("draws", 1)):
            if getattr(self, name) < least:
                raise RecipeError(f"expected --{name} from {least} on; found {getattr(self, name)}")


@dataclass(frozen=True)
class Goal:
    """What an attack wants of each image: another answer than `labels`, or (targeted) these.

    labels: int64 [N].
    """

    labels: Tensor
    targeted: bool = False

    def select(self, index: Tensor | slice) -> Goal:
        return Goal(self.labels[index], self.targeted)

    def reached(self, logits: Tensor) -> Tensor:
        """[N, classes] -> bool [N]. Equal logits count for the lower index."""
        hit = logits.argmax(1) == self.labels
        return hit if self.targeted else ~hit

    def loss(self, logits: Tensor) -> Tensor:
        """[N]: the larger, the nearer; cross-entropy, negative if targeted."""
        entropy = F.cross_entropy(logits, self.labels, reduction="none")
        return -entropy if self.targeted else entropy

    def margin(self, logits: Tensor) -> Tensor:
        """[N]: the best other logit minus that of the label, negative if targeted."""
        label = F.one_hot(self.labels, logits.shape[1]).bool()
        own = logits[label]
        others = logits.masked_fill(label, -torch.inf).amax(1)
        return own - others if self.targeted else others - own


def choose_goal(labels: Tensor, classes: int, threat: Threat) -> Goal:
    """The goal for images with these labels; a target is drawn among all other classes."""
    if not threat.targeted:
        return Goal(labels)
    generator = torch.Generator().manual_seed(threat.seed)
    offset = torch.randint(1, classes, labels.shape, generator=generator)
    return Goal((labels + offset) % classes, targeted=True)


def check_attacks(names: Sequence[str], has_surrogate: bool) -> tuple[str, ...]:
    """The names, each once, in the order of ATTACKS. Raises RecipeError."""
    if unknown := sorted(set(names) - set(ATTACKS)):
        raise RecipeError(
            f"expected --attacks of {', '.join(ATTACKS)}; found {', '.join(unknown) or 'none'}"
        )
    if not names:
        raise RecipeError(f"expected --attacks of {', '.join(ATTACKS)}; found none")
    if ("transfer" in names) != has_surrogate:
        found = "no --surrogate" if "transfer" in names else "one, but not that attack"
        raise RecipeError(
            "expected --surrogate, a network of the same classes, with the attack transfer; found "
            f"{found}"
        )
    return tuple(name for name in ATTACKS if name in names)
