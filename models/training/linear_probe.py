"""Fits the last layer of a trained network to new classes: logistic regression on its features.

With few images this beats training all layers, and sees each image only twice.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.data.augmentation import view_centre
from models.data.decoded import LabelledImages
from models.evaluation.metrics import predict_logits
from models.networks.meliusnet import MeliusNet
from models.networks.registry import Network
from runtime.images import Preprocessing

DECAY = 0.1  # times the squared weights of standardized features, added to the mean loss
ITERATIONS = 200  # of L-BFGS, at most
ENOUGH = 5_000  # images, for a layer that is trained afterwards
MIN_DEVIATION = 1e-3  # of a feature; a constant one says nothing


def find_last_layer(network: Network) -> nn.Linear:
    """The layer with a row per class."""
    return network.head.fc if isinstance(network, MeliusNet) else network.fc


def fit_last_layer(
    network: Network, images: LabelledImages, preprocessing: Preprocessing, progress: bool = False
) -> None:
    """Sets weights and biases of the last layer; the others stay as they are.

    images: squares of any size; their centre and its mirror image are seen.
    Computed in float64: the same on every run.
    """
    last = find_last_layer(network)
    found: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].cpu()))
    try:
        with torch.no_grad():
            for views in _two_views(images, preprocessing):
                predict_logits(network.eval(), views, preprocessing, progress=progress)
    finally:
        hook.remove()
    features, labels = torch.cat(found).double(), images.labels.cpu().repeat(2)
    mean, deviation = features.mean(0), features.std(0).clamp(min=MIN_DEVIATION)
    weight, bias = _regress((features - mean) / deviation, labels, len(images.classes))
    weight = weight / deviation
    with torch.no_grad():
        last.weight.copy_(weight)
        last.bias.copy_(bias - weight @ mean)


def take_enough(images: LabelledImages, count: int = ENOUGH) -> LabelledImages:
    """Evenly spaced images, some of every class: the given ones are sorted by class."""
    if len(images) <= count:
        return images
    return images.select(torch.linspace(0, len(images) - 1, count).long())


def _two_views(
    images: LabelledImages, preprocessing: Preprocessing
) -> tuple[LabelledImages, LabelledImages]:
    """The centre, as it is measured and served, and its mirror image."""
    centre = view_centre(images.pixels, preprocessing)
    return (
        LabelledImages(centre, images.labels, images.classes),
        LabelledImages(centre.flip(3), images.labels, images.classes),
    )


def _regress(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Weight [classes, features] and bias [classes] with the minimal loss, which is convex."""
    weight = torch.zeros(classes, features.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(F.linear(features, weight, bias), labels)
        value = value + DECAY * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach(), bias.detach()
