"""Means and variances of batch norms, estimated again for weights that no step has trained with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from models.data.augmentation import normalize
from models.data.decoded import LabelledImages
from runtime.images import Preprocessing

IMAGES = 3000  # that are enough
BATCH = 100
SEED = 123


def choose_images(count: int) -> torch.Tensor:
    """The sorted numbers of at most IMAGES of `count` images, the same at each call."""
    chance = torch.Generator().manual_seed(SEED)
    return torch.randperm(count, generator=chance)[:IMAGES].sort().values


@torch.no_grad()
def estimate_batch_norms(
    network: nn.Module,
    images: LabelledImages,
    preprocessing: Preprocessing,
    frozen: Sequence[nn.Module] = (),
) -> None:
    """Sets the means and variances of all batch norms to those of `images`, in eval mode after;
    those inside `frozen` modules stay.

    Each is the mean over batches of about BATCH images; the images come in a random order.
    """
    stay = {inner for module in frozen for inner in module.modules()}
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m not in stay]
    momenta = [norm.momentum for norm in norms]
    network.train()
    for module in frozen:
        module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # all batches count alike
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))
    for part in order.chunk(-(-len(images) // BATCH)):
        pixels = images.pixels[part.to(images.pixels.device)]
        network(normalize(pixels, preprocessing))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
