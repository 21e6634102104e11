"""The recipe: all that decides a training beside network and images; the default is published.

Bethge et al. 2020, authors' log: RAdam, learning rate 0.002 with cosine decay to 0, 120 epochs,
batch 64, no weight decay, cross-entropy, random resized crop and flip. The clip of 1.3 is part of
the network (models.networks.binary).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

import torch
from torch import nn

from models.data.augmentation import AUGMENTATIONS
from models.errors import RecipeError
from models.networks.binary import LATENT, BinaryConv2d

OPTIMIZERS = ("radam", "adam")


@dataclass(frozen=True)
class Recipe:
    """Raises RecipeError for a value that makes no sense."""

    epochs: int = 120  # 0: the last layer alone is fitted, of a network that has learned before
    batch: int = 64  # of all processes together
    optimizer: str = "radam"
    learning_rate: float = 0.002
    warmup_epochs: float = 0.0  # the learning rate rises linearly from 0
    weight_decay: float = 0.0  # decoupled, of float weights alone; never of latent weights
    label_smoothing: float = 0.0
    augmentation: str = "resized_crop"
    min_area: float = 0.08  # share of the image, the least that resized_crop takes
    color_jitter: float = 0.0  # strength of jitter_colors, 0..1; the published recipe has none
    blur: float = 0.0  # share of the images that blur() acts on; the published recipe has none
    cutmix: float = 0.0  # share of the images with a window of another one, learnt as both
    validation_share: float = 0.02  # of train, where the data has no validation part
    balance: float = 0.0  # classes are drawn in proportion to their images to the power 1 - balance
    other_share: float = 0.0  # of the drawn images, of the class "other"; 0: as `balance` says
    crops: int = 1  # of each drawn image, one after the other; an epoch has fewer images
    latent: float = LATENT  # size of the latent weights that a bundle's signs begin with
    freeze: int = 0  # layer groups, from the stem on, whose weights do not change
    noise: float = 0.0  # deviation of what is added to normalized maps before their signs are taken
    ema: float = 0.0  # decay of a moving average of the weights, which they become at the end
    mixed_precision: bool = False  # bfloat16 autocast
    distillation: float = 0.0  # weight of the teacher's answers in the loss, 0..1
    distillation_temperature: float = 2.0
    seed: int = 123

    def __post_init__(self) -> None:
        """Checks every field, numbers first."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise RecipeError(f"expected a finite {field.name}, found {value}")
        warmup_fits = 0 <= self.warmup_epochs < max(self.epochs, 1)
        checks = (
            ("epochs", self.epochs >= 0, "at least 0"),
            ("batch", self.batch >= 1, "at least 1"),
            ("optimizer", self.optimizer in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}"),
            ("learning_rate", self.learning_rate > 0, "a number above 0"),
            ("warmup_epochs", warmup_fits, "at least 0, below epochs"),
            ("weight_decay", self.weight_decay >= 0, "at least 0"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "from 0 to below 1"),
            ("augmentation", self.augmentation in AUGMENTATIONS, f"one of {tuple(AUGMENTATIONS)}"),
            ("min_area", 0 < self.min_area <= 1, "above 0, at most 1"),
            ("color_jitter", 0 <= self.color_jitter <= 1, "from 0 to 1"),
            ("blur", 0 <= self.blur <= 1, "from 0 to 1"),
            ("cutmix", 0 <= self.cutmix <= 1, "from 0 to 1"),
            ("validation_share", 0 < self.validation_share < 1, "between 0 and 1"),
            ("balance", 0 <= self.balance <= 1, "from 0 to 1"),
            ("other_share", 0 <= self.other_share < 1, "from 0 to below 1"),
            ("crops", 1 <= self.crops <= self.batch, "from 1 to the batch"),
            ("latent", 1e-6 <= self.latent <= 1, "from 0.000001 to 1"),
            ("freeze", self.freeze >= 0, "at least 0 layer groups"),
            ("noise", self.noise >= 0, "at least 0"),
            ("ema", 0 <= self.ema < 1, "from 0 to below 1"),
            ("distillation", 0 <= self.distillation <= 1, "from 0 to 1"),
            ("distillation_temperature", self.distillation_temperature > 0, "above 0"),
            ("seed", 0 <= self.seed < 2**63, "a whole number from 0 to 2**63 - 1"),
        )
        for name, fits, expected in checks:
            if not fits:
                raise RecipeError(f"expected {name} {expected}; found {getattr(self, name)}")

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """Of step 0, 1, ...: linear warm-up, then half a cosine down to 0 after the last epoch."""
        warmup = round(self.warmup_epochs * steps_per_epoch)
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        return self.learning_rate * cosine(step - warmup, self.epochs * steps_per_epoch - warmup)

    def make_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """One optimizer for latent and float weights; only the float weights ever decay."""
        latent = {id(m.weight) for m in network.modules() if isinstance(m, BinaryConv2d)}
        groups = (
            ([p for p in network.parameters() if id(p) in latent or p.dim() < 2], 0.0),
            ([p for p in network.parameters() if id(p) not in latent and p.dim() >= 2],
             self.weight_decay),
        )  # fmt: skip
        parameters: Iterable[dict[str, object]] = [
            {"params": group, "weight_decay": decay} for group, decay in groups if group
        ]
        if self.optimizer == "radam":
            return torch.optim.RAdam(parameters, lr=self.learning_rate, decoupled_weight_decay=True)
        return torch.optim.AdamW(parameters, lr=self.learning_rate)


def cosine(step: int, steps: int) -> float:
    """Factor of the learning rate: 1 at step 0, 0 at `steps`."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))
