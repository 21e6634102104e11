"""The signs of binary weights at the beginning of a training, and how many have turned since.

A training that turns hardly any has changed the float layers and batch norms alone: then its latent
weights are large beside what the learning rate moves them by.
"""

from __future__ import annotations

import torch
from torch import nn

from models.networks.binary import BinaryConv2d, binarize_weight


class Signs:
    """Of the binary weights that are trained, as they are now. Frozen ones are left out."""

    def __init__(self, network: nn.Module) -> None:
        self._weights = [
            module.weight
            for module in network.modules()
            if isinstance(module, BinaryConv2d) and module.weight.requires_grad
        ]
        self._first = [_are_positive(weight) for weight in self._weights]

    def turned(self) -> float | None:
        """Percent whose sign is another than at first; None without any binary weight."""
        if not self._weights:
            return None
        pairs = zip(self._weights, self._first, strict=True)
        turned = sum(int((_are_positive(weight) != first).sum()) for weight, first in pairs)
        return 100 * turned / sum(weight.numel() for weight in self._weights)


@torch.no_grad()
def _are_positive(weight: torch.Tensor) -> torch.Tensor:
    return binarize_weight(weight) > 0
