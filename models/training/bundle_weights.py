"""The network of a bundle, with gradients: to train on, or to attack.

A bundle has the signs of binary weights, thresholds instead of the batch norms before them, and
folded float layers. All of that is restored, so that the network answers as the bundle does; 8-bit
layers become float ones. What a bundle does not have is set anew: latent weights get one size;
batch norms get no statistics until `measure_batch_norms` has seen images, which it has to before
any step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
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
from models.evaluation.accuracy import find_classes, find_data_name
from models.networks.binary import LATENT, BinaryActivation, BinaryConv2d
from models.networks.meliusnet import (
    DenseBlock,
    ImprovementBlock,
    MeliusNet,
    Transition,
    make_stem,
)
from models.networks.specs import SHUFFLE_GROUPS, Spec
from models.records.provenance import digest_manifest
from models.training.linear_probe import take_enough
from runtime import Bundle, Manifest, Preprocessing
from runtime.engines.prepare import check_tensors
from runtime.engines.reference import batch_norm_of
from runtime.kernels.bitpack import unpack_bits
from runtime.plan import HeadStep, Plan, StageStep, StemStep, TransitionStep

IMAGES = 2000  # to measure batch norms on
BATCH = 100
VARIANCE = 2.0**40  # of batch norms that have seen no images

Tensors = Mapping[str, NDArray[Any]]


def restore_network(bundle: Bundle, latent: float = LATENT) -> MeliusNet:
    """The network of a bundle, in eval mode, with the bundle's logits in their order.

    All latent weights get the size `latent`: the smaller, the sooner a training turns their signs.

    Raises RecipeError for a bundle of another network than a MeliusNet; RuntimeFault.
    """
    spec, tensors = _find_spec(bundle), bundle.tensors()
    check_tensors(bundle.manifest.plan, tensors)
    network = MeliusNet(spec, bundle.manifest.logits).eval()
    with torch.no_grad():
        for i, layer in enumerate(m for m in network.stem if not isinstance(m, nn.MaxPool2d)):
            _fill_convolution(layer, f"stem.conv{i}", tensors)
        for i, stage in enumerate(network.stages, 1):
            for j, block in enumerate(cast(nn.Sequential, stage)):
                named = cast(DenseBlock | ImprovementBlock, block)
                _fill_block(named, f"stage{i}.layer{j}", tensors, latent)
        for i, transition in enumerate(cast(Iterator[Transition], network.transitions), 1):
            _fill_affine(transition.bn, f"transition{i}", tensors)
            transition.conv.weight.copy_(_float_weight(f"transition{i}", tensors))
        _fill_affine(network.head.bn, "head", tensors)
        network.head.fc.weight.copy_(_float_weight("head", tensors))
        network.head.fc.bias.copy_(_copy(tensors["head.bias"]))
    return network


def order_classes(manifest: Manifest) -> tuple[tuple[str, ...], list[int]]:
    """The classes in the order of the training, and which logit is whose.

    models.export moves the logit of "other" to the end; data has its classes in alphabetical order.
    """
    classes = find_classes(manifest)
    if manifest.known is None or manifest.known.source != OTHER:
        return classes, list(range(len(classes)))
    every = (*classes, OTHER)
    order = sorted(range(len(every)), key=every.__getitem__)
    return tuple(every[i] for i in order), order


def describe_bundle(bundle: Bundle) -> str:
    """For people: its name, the data that it was trained on, and the digest of its manifest."""
    manifest, digest = bundle.manifest, digest_manifest(bundle.path)
    return f"{manifest.name} on {find_data_name(manifest)} (bundle {digest})"


def _find_spec(bundle: Bundle) -> Spec:
    architecture, plan = bundle.manifest.architecture, bundle.manifest.plan
    if not plan or architecture.keys() != {field.name for field in fields(Spec)}:
        raise RecipeError(
            f"{bundle.path}: expected a bundle of a MeliusNet; found one of "
            f"{bundle.manifest.name}. Give another bundle, a checkpoint.pt, or a .safetensors file "
            "of models.pretrained."
        )
    lists = {name: tuple(architecture[name]) for name in ("blocks", "transitions")}
    spec = Spec(**{**architecture, **lists})
    if _outline(plan) != _outline_of(spec):
        raise RecipeError(
            f"{bundle.path}: expected a plan of the network that the manifest's `architecture` "
            f"names, {spec.name}; found another. Export the bundle again."
        )
    return spec


def _outline(plan: Plan) -> list[tuple[Any, ...]]:
    """What decides the shapes of all weights, of each step."""
    out: list[tuple[Any, ...]] = []
    for step in plan:
        match step:
            case StemStep():
                out.append(tuple((c.channels_out, c.groups, c.relu) for c in step.convolutions))
            case StageStep():
                out.append((step.padding, *step.layers))
            case TransitionStep():
                out.append((step.channels_out, step.groups, step.shuffle_groups))
            case HeadStep():
                out.append(())
    return out


def _outline_of(spec: Spec) -> list[tuple[Any, ...]]:
    """The same of a network's spec."""
    relu = spec.stem != "thumbnail"
    convolutions = [m for m in make_stem(spec.stem).modules() if isinstance(m, nn.Conv2d)]
    pair = ("dense", "improvement") if spec.improvement else ("dense",)
    shuffle = SHUFFLE_GROUPS if spec.shuffle else 1
    out: list[tuple[Any, ...]] = [tuple((c.out_channels, c.groups, relu) for c in convolutions)]
    for i, blocks in enumerate(spec.blocks):
        out.append((spec.padding, *pair * blocks))
        out += [(channels, spec.groups, shuffle) for channels in spec.transitions[i : i + 1]]
    return [*out, ()]


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


def _fill_block(
    block: DenseBlock | ImprovementBlock, name: str, tensors: Tensors, latent: float = LATENT
) -> None:
    activation = cast(BinaryActivation, block.activation)
    weight = cast(BinaryConv2d, block.conv).weight
    threshold, flip = tensors[f"{name}.threshold"], unpack_bits(tensors[f"{name}.flip"])
    same = batch_norm_of(threshold, flip)
    constant = torch.from_numpy(np.isinf(threshold))  # these channels are always +1, or always -1
    always = torch.from_numpy(np.where((threshold < 0) != flip, 1, -1).astype(np.float32))
    scale = torch.where(constant, 0.0, same.weight)
    _set(activation.bn, scale, torch.where(constant, always, same.bias))
    signs = np.where(unpack_bits(tensors[f"{name}.weight"]), latent, -latent)
    weight.copy_(_copy(np.moveaxis(signs, -1, 1)))


def draw_batches(images: LabelledImages, preprocessing: Preprocessing) -> Iterator[Tensor]:
    """Inputs to measure batch norms on: the centres of IMAGES squares of any size."""
    chosen = take_enough(images, IMAGES)
    for part in view_centre(chosen.pixels, preprocessing).split(BATCH):
        yield normalize(part, preprocessing)


@torch.no_grad()
def measure_batch_norms(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Gives restored batch norms the means and variances of what they see; answers in eval mode
    stay. Channels that were not restored, of a network that has grown, stay as they are.

    In front of a binarization the scale, which no answer depends on, becomes 1 over the deviation:
    its gradient passes where |x| <= 1.3.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    binary = {m.bn for m in network.modules() if isinstance(m, BinaryActivation)}
    sums: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms}
    count = 0

    def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].double()
        sums[norm].append(torch.stack([x.mean((0, 2, 3)), x.square().mean((0, 2, 3))]) * len(x))

    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    network.eval()
    try:
        for batch in batches:
            network(batch)
            count += len(batch)
    finally:
        for hook in hooks:
            hook.remove()
    for norm in norms:
        mean, square = torch.stack(sums[norm]).sum(0) / count
        variance = (square - mean.square()).clamp(min=0)
        _restate(norm, mean, variance, norm in binary)


def _restate(norm: _BatchNorm, mean: Tensor, variance: Tensor, is_binary: bool) -> None:
    """The same function around another mean and variance; in front of a binarization divided by
    the deviation.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None
    restored = norm.running_var == VARIANCE
    deviation = (variance + norm.eps).sqrt()
    scale = norm.weight.double() / math.sqrt(VARIANCE)
    factor = 1 / deviation if is_binary else torch.ones_like(deviation)
    for values, new in (
        (norm.weight, factor * scale * deviation),
        (norm.bias, factor * (norm.bias.double() + scale * mean)),
        (norm.running_mean, mean),
        (norm.running_var, variance),
    ):
        values.copy_(torch.where(restored, new.to(values.dtype), values))
