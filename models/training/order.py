"""Which images an epoch has, in which order: each once, some more often, in several crops."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def draw_order(
    labels: Tensor, chance: torch.Generator, balance: float, other: int | None, other_share: float
) -> Tensor:
    """As many indices of images as there are labels.

    `labels` are the images' classes. With `balance` 0 and `other_share` 0 each image comes once.
    Else images are drawn, with replacement: a class in proportion to its images to the power
    1 - balance; if `other_share` is above 0, that share of the images is of the class `other`, and
    the other classes have the rest. Raises ValueError for a share of no class.
    """
    if other_share and other is None:
        raise ValueError("expected the class other for a share of it; found None")
    if not balance and not other_share:
        return torch.randperm(len(labels), generator=chance)
    labels = labels.cpu()
    weights = torch.bincount(labels).double().clamp(min=1) ** -balance
    weights = weights[labels]
    if other_share:
        is_other = labels == other
        for part, share in ((is_other, other_share), (~is_other, 1 - other_share)):
            weights[part] *= share / weights[part].sum()
    return torch.multinomial(weights, len(labels), replacement=True, generator=chance)


def repeat_crops(order: Tensor, crops: int) -> Tensor:
    """Each image `crops` times in a row, from the first on; as long as before.

    So a batch has several crops of an image, each augmented apart, and fewer images (Hoffer et al.
    2020, "Augment your batch").
    """
    return order[: math.ceil(len(order) / crops)].repeat_interleave(crops)[: len(order)]
