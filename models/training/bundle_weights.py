"""Initial weights from a bundle: the network that it serves, made trainable again.

A bundle has the signs of binary weights, thresholds instead of the batch norms before them, and
folded float layers. All of that is restored, so that the network answers as the bundle does; 8-bit
layers become float ones. What a bundle does not have is set anew: latent weights get one size, so
that none turns at the first small step; batch norms get no statistics until `measure_batch_norms`
has seen images, which it has to before any step.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from models.data.augmentation import normalize, view_centre
from models.data.decoded import LabelledImages
from models.data.others import OTHER
from models.errors import RecipeError
from models.networks.binary import BinaryActivation, BinaryConv2d
from models.networks.meliusnet import DenseBlock, ImprovementBlock, MeliusNet, Transition
from models.networks.specs import SPECS, Spec
from runtime import Bundle, Preprocessing
from runtime.engines.reference import batch_norm_of
from runtime.kernels.bitpack import unpack_bits
from runtime.manifest import MANIFEST

IMAGES = 2000  # to measure batch norms on
BATCH = 100
VARIANCE = 2.0**40  # of batch norms that have seen no images
LATENT = 0.03  # size of latent weights: about that of random initial ones; trained ones have 0.15

Tensors = Mapping[str, NDArray[Any]]


def restore_network(bundle: Bundle) -> tuple[MeliusNet, tuple[str, ...]]:
    """The network of a bundle, in eval mode, and its classes in alphabetical order.

    Raises RecipeError for a bundle of another network than a MeliusNet; RuntimeFault.
    """
    manifest = bundle.manifest
    spec = _find_spec(bundle)
    training = manifest.training or {}
    others = [OTHER] if manifest.known and manifest.known.source == OTHER else []
    classes = [*list(training.get("classes", manifest.labels))[: len(manifest.labels)], *others]
    tensors = bundle.tensors()
    network = MeliusNet(spec, len(classes)).eval()
    with torch.no_grad():
        for i, layer in enumerate(m for m in network.stem if not isinstance(m, nn.MaxPool2d)):
            _fill_convolution(layer, f"stem.conv{i}", tensors)
        for i, stage in enumerate(network.stages, 1):
            for j, block in enumerate(cast(nn.Sequential, stage)):
                _fill_block(
                    cast(DenseBlock | ImprovementBlock, block), f"stage{i}.layer{j}", tensors
                )
        for i, transition in enumerate(cast(Iterator[Transition], network.transitions), 1):
            _fill_affine(transition.bn, f"transition{i}", tensors)
            transition.conv.weight.copy_(_float_weight(f"transition{i}", tensors))
        _fill_affine(network.head.bn, "head", tensors)
        order = sorted(range(len(classes)), key=classes.__getitem__)
        network.head.fc.weight.copy_(_float_weight("head", tensors)[order])
        network.head.fc.bias.copy_(_copy(tensors["head.bias"])[order])
    return network, tuple(classes[i] for i in order)


def describe_bundle(bundle: Bundle) -> str:
    """For people: its name, the data that it was trained on, and the digest of its manifest."""
    training = bundle.manifest.training or {}
    digest = hashlib.sha256((bundle.path / MANIFEST).read_bytes()).hexdigest()[:12]
    return f"{bundle.manifest.name} on {training.get('data', 'unknown data')} (bundle {digest})"


def _find_spec(bundle: Bundle) -> Spec:
    architecture = bundle.manifest.architecture
    known = {field.name for field in fields(Spec)}
    is_meliusnet = architecture.keys() == known and architecture["name"] in SPECS
    if not (bundle.manifest.plan and is_meliusnet):
        raise RecipeError(
            f"{bundle.path}: expected a bundle of a MeliusNet as initial weights; found "
            f"{bundle.manifest.name}. Give another bundle, a checkpoint.pt, or a .safetensors file "
            "of models.pretrained."
        )
    lists = {name: tuple(architecture[name]) for name in ("blocks", "transitions")}
    return Spec(**{**architecture, **lists})


def _copy(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(array, np.float32))  # the bundle's arrays are read-only


def _float_weight(name: str, tensors: Tensors) -> Tensor:
    """The weight of a float layer; of an 8-bit one its integers in their scale."""
    weight = _copy(tensors[f"{name}.weight"])
    if f"{name}.inverse_step" not in tensors:
        return weight
    scale = _copy(tensors[f"{name}.sum_scale"]) * float(tensors[f"{name}.inverse_step"][0])
    return weight * scale.view(-1, *[1] * (weight.dim() - 1))


def _set(bn: _BatchNorm, scale: Tensor, shift: Tensor) -> None:
    """Makes it scale * x + shift in eval mode, exactly: eps vanishes beside the variance."""
    assert bn.running_mean is not None
    assert bn.running_var is not None
    bn.running_mean.zero_()
    bn.running_var.fill_(VARIANCE)
    bn.weight.copy_(scale * math.sqrt(VARIANCE))
    bn.bias.copy_(shift)


def _fill_convolution(layer: nn.Module, name: str, tensors: Tensors) -> None:
    """Of the stem: the batch norm behind it is in its weights already."""
    bias = _copy(tensors[f"{name}.bias"])
    if isinstance(layer, nn.Conv2d):
        layer.weight.copy_(_float_weight(name, tensors))
        return
    conv, bn = cast(nn.Conv2d, layer[0]), cast(_BatchNorm, layer[1])  # type: ignore[index]
    conv.weight.copy_(_float_weight(name, tensors))
    _set(bn, torch.ones_like(bias), bias)


def _fill_affine(bn: _BatchNorm, name: str, tensors: Tensors) -> None:
    _set(bn, _copy(tensors[f"{name}.scale"]), _copy(tensors[f"{name}.shift"]))


def _fill_block(block: DenseBlock | ImprovementBlock, name: str, tensors: Tensors) -> None:
    activation = cast(BinaryActivation, block.activation)
    weight = cast(BinaryConv2d, block.conv).weight
    same = batch_norm_of(tensors[f"{name}.threshold"], unpack_bits(tensors[f"{name}.flip"]))
    constant = same.bias.isinf()  # always +1 or always -1
    scale = torch.where(constant, 0.0, same.weight)
    _set(activation.bn, scale, torch.where(constant, same.bias.sign(), same.bias))
    signs = np.where(unpack_bits(tensors[f"{name}.weight"]), LATENT, -LATENT)
    weight.copy_(_copy(np.moveaxis(signs, -1, 1)))


@torch.no_grad()
def measure_batch_norms(
    network: nn.Module, images: LabelledImages, preprocessing: Preprocessing
) -> None:
    """Gives batch norms the means and variances of their inputs; answers in eval mode stay.

    In front of a binarization the scale, which no answer depends on, becomes 1 over the deviation:
    its gradient passes where |x| <= 1.3. images: squares of any size, whose centre is seen; IMAGES
    of them, evenly spaced, are enough.
    """
    chosen = images.select(torch.linspace(0, len(images) - 1, min(len(images), IMAGES)).long())
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    binary = {m.bn for m in network.modules() if isinstance(m, BinaryActivation)}
    sums: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms}

    def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].double()
        sums[norm].append(torch.stack([x.mean((0, 2, 3)), x.square().mean((0, 2, 3))]) * len(x))

    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    network.eval()
    try:
        for part in view_centre(chosen.pixels, preprocessing).split(BATCH):
            network(normalize(part, preprocessing))
    finally:
        for hook in hooks:
            hook.remove()
    for norm in norms:
        mean, square = torch.stack(sums[norm]).sum(0) / len(chosen)
        variance = (square - mean.square()).clamp(min=0)
        deviation = (variance + norm.eps).sqrt()
        _restate(norm, mean, variance, 1 / deviation if norm in binary else torch.ones_like(mean))


def _restate(norm: _BatchNorm, mean: Tensor, variance: Tensor, factor: Tensor) -> None:
    """The same function, times `factor`, around another mean and variance."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    before = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.double() - norm.running_mean.double() * before
    norm.weight.copy_(factor * before * (variance + norm.eps).sqrt())
    norm.bias.copy_(factor * (shift + before * mean))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
