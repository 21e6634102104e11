"""Trained network -> plan and packed tensors of a bundle: pure functions, computed in float64.

Batch norm before a binarization becomes a threshold per channel, batch norm after a float
convolution goes into its weights, the remaining ones become scale and shift. Binary weights keep
their sign bit only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.errors import TrainingFault
from models.networks.binary import BinaryActivation, BinaryConv2d
from models.networks.meliusnet import (
    ConvBNReLU,
    DenseBlock,
    Head,
    ImprovementBlock,
    MeliusNet,
    Stage,
    Transition,
)
from models.networks.specs import SHUFFLE_GROUPS
from runtime.kernels.bitpack import pack_bits, pack_weights
from runtime.kernels.parts import Window
from runtime.plan import (
    BinaryKind,
    HeadStep,
    Plan,
    Shape,
    StageStep,
    StemConvolution,
    StemStep,
    Step,
    TransitionStep,
)

Array = NDArray[Any]


@dataclass(frozen=True)
class Converted:
    """What a bundle needs from a network: steps in execution order and tensors by name."""

    steps: list[Step] = field(default_factory=list)
    tensors: dict[str, Array] = field(default_factory=dict)

    @property
    def plan(self) -> Plan:
        """The steps as a plan. Raises InvalidManifest for what the format does not hold."""
        return Plan(tuple(self.steps))


class ConversionError(TrainingFault):
    """Parameters that cannot be packed: not finite, or a layer this format does not know."""


def _float64(tensor: Tensor | None) -> NDArray[np.float64]:
    assert tensor is not None
    array = tensor.detach().cpu().double().numpy()
    if not np.isfinite(array).all():
        raise ConversionError("expected finite parameters, found NaN or infinity; train again")
    return array


def fold_affine(bn: nn.BatchNorm2d) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(scale, shift), float64 [C] each: bn(x) = scale * x + shift in eval mode."""
    scale = _float64(bn.weight) / np.sqrt(_float64(bn.running_var) + bn.eps)
    return scale, _float64(bn.bias) - _float64(bn.running_mean) * scale


def fold_thresholds(bn: nn.BatchNorm2d) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(threshold, flip), [C] each, so that for every float32 x: bn(x) >= 0 is (x >= threshold) !=
    flip.

    With gamma > 0 that is x >= t, t = mean - beta sqrt(var + eps) / gamma, rounded up to float32.
    With gamma < 0 it is x <= t: not x >= the next float32 above t. With gamma = 0 it is constant,
    beta >= 0, as a threshold of -inf or +inf. Ties belong to +1 on both sides.
    """
    gamma, beta = _float64(bn.weight), _float64(bn.bias)
    mean, deviation = _float64(bn.running_mean), np.sqrt(_float64(bn.running_var) + bn.eps)
    flip = gamma < 0
    constant = gamma == 0
    with np.errstate(
        over="ignore"
    ):  # a threshold beyond float32 is never reached: infinity is right
        exact = mean - beta * deviation / np.where(constant, 1.0, gamma)
        nearest = exact.astype(np.float32)
    up = np.float32(np.inf)
    rounded_up = np.where(nearest < exact, np.nextafter(nearest, up), nearest)
    above = np.where(nearest <= exact, np.nextafter(nearest, up), nearest)  # the first float32 > t
    threshold = np.where(flip, above, rounded_up)
    threshold = np.where(constant, np.where(beta >= 0, -up, up), threshold)
    return threshold.astype(np.float32), flip


def fold_convolution(
    conv: nn.Conv2d, bn: nn.BatchNorm2d
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(weight [out, in / groups, k, k], bias [out]) of the convolution with the batch norm after it
    folded in.
    """
    scale, shift = fold_affine(bn)
    weight = _float64(conv.weight) * scale[:, None, None, None]
    return weight.astype(np.float32), shift.astype(np.float32)


def _window(kernel: Any, stride: Any, padding: Any) -> Window:
    first = [int(v[0] if isinstance(v, tuple) else v) for v in (kernel, stride, padding)]
    return Window(first[0], first[1], first[2], first[2])


def output_side(side: int, window: Window) -> int:
    """Height or width after a window: floor((side + padding - kernel) / stride) + 1.

    Raises ConversionError if that is nothing.
    """
    padded = side + window.padding_before + window.padding_after
    result = (padded - window.kernel) // window.stride + 1
    if result < 1:
        raise ConversionError(
            f"expected an input large enough for {window}, found {side} positions; use more pixels"
        )
    return result


def convert_network(network: MeliusNet, image_size: int) -> Converted:
    """The whole network at a square input. Raises ConversionError."""
    out, shape = convert_groups(network, image_size, len(network.layer_groups()))
    convert_head(network.head, shape, out)
    return out


def convert_groups(network: MeliusNet, image_size: int, count: int) -> tuple[Converted, Shape]:
    """The first layer groups, and the shape of their output. Raises ConversionError."""
    out = Converted()
    shape: Shape = (3, image_size, image_size)
    stages = transitions = 0
    for group in network.layer_groups()[:count]:
        if isinstance(group, Stage):
            shape = convert_stage(group, stages := stages + 1, shape, out)
        elif isinstance(group, Transition):
            shape = convert_transition(group, transitions := transitions + 1, shape, out)
        else:
            shape = convert_stem(cast(nn.Sequential, group), shape, out)
    return out, shape


def convert_stem(stem: nn.Sequential, shape: Shape, out: Converted) -> Shape:
    """Appends the step and tensors of a stem; returns its output shape."""
    _, height, width = shape
    convolutions: list[StemConvolution] = []
    pool: Window | None = None
    for layer in stem:
        if isinstance(layer, nn.MaxPool2d):
            window = pool = _window(layer.kernel_size, layer.stride, layer.padding)
        else:
            relu = isinstance(layer, ConvBNReLU)
            conv = layer[0] if isinstance(layer, ConvBNReLU) else layer
            if not isinstance(conv, nn.Conv2d) or pool:
                raise ConversionError(
                    f"expected convolutions, then a pool in the stem; found {layer}"
                )
            name = f"stem.conv{len(convolutions)}"
            if relu:
                weight, bias = fold_convolution(
                    conv, cast(nn.BatchNorm2d, cast(ConvBNReLU, layer)[1])
                )
            else:
                weight = _float64(conv.weight).astype(np.float32)
                bias = np.zeros(conv.out_channels, np.float32)
            out.tensors[f"{name}.weight"] = weight
            out.tensors[f"{name}.bias"] = bias
            window = _window(conv.kernel_size, conv.stride, conv.padding)
            convolutions.append(
                StemConvolution(conv.in_channels, conv.out_channels, window, conv.groups, relu)
            )
        height, width = output_side(height, window), output_side(width, window)
    return _append(StemStep("stem", shape, tuple(convolutions), pool), out)


def _append(step: Step, out: Converted) -> Shape:
    """Appends a step; returns its output shape."""
    out.steps.append(step)
    return step.output


def convert_stage(stage: Stage, number: int, shape: Shape, out: Converted) -> Shape:
    """Appends the step and tensors of a stage; returns its output shape."""
    layers: list[BinaryKind] = []
    for i, block in enumerate(stage):
        if not isinstance(block, DenseBlock | ImprovementBlock):
            raise ConversionError(
                f"expected dense and improvement blocks in a stage, found {block}"
            )
        activation, conv = block.activation, block.conv
        if not (isinstance(activation, BinaryActivation) and isinstance(conv, BinaryConv2d)):
            raise ConversionError(
                "expected binary layers, found those of a full-precision reference, which is for "
                "comparison and distillation. Train without --no-binary to export."
            )
        convert_binary_layer(f"stage{number}.layer{i}", activation, conv, out)
        layers.append("dense" if isinstance(block, DenseBlock) else "improvement")
    padding = cast(BinaryConv2d, stage[0].conv).padding
    return _append(StageStep(f"stage{number}", shape, padding, tuple(layers)), out)


def convert_binary_layer(
    name: str, activation: BinaryActivation, conv: BinaryConv2d, out: Converted
) -> None:
    """Appends threshold, flip and packed weight of one binary layer."""
    _float64(conv.weight)  # refuses NaN, whose sign would be arbitrary
    threshold, flip = fold_thresholds(activation.bn)
    out.tensors[f"{name}.weight"] = pack_weights(conv.weight.detach().cpu().numpy())
    out.tensors[f"{name}.threshold"] = threshold
    out.tensors[f"{name}.flip"] = pack_bits(flip)


def convert_transition(transition: Transition, number: int, shape: Shape, out: Converted) -> Shape:
    """Appends the step and tensors of a transition; returns its output shape."""
    name = f"transition{number}"
    scale, shift = fold_affine(transition.bn)
    out.tensors[f"{name}.scale"] = scale.astype(np.float32)
    out.tensors[f"{name}.shift"] = shift.astype(np.float32)
    out.tensors[f"{name}.weight"] = _float64(transition.conv.weight).astype(np.float32)
    pool = _window(transition.pool.kernel_size, transition.pool.stride, transition.pool.padding)
    for side in shape[1:]:
        output_side(side, pool)
    shuffle = SHUFFLE_GROUPS if isinstance(transition.shuffle, nn.ChannelShuffle) else 1
    conv = transition.conv
    return _append(TransitionStep(name, shape, conv.out_channels, pool, shuffle, conv.groups), out)


def convert_head(head: Head, shape: Shape, out: Converted) -> None:
    """Appends the step and tensors of the head."""
    scale, shift = fold_affine(head.bn)
    out.tensors["head.scale"] = scale.astype(np.float32)
    out.tensors["head.shift"] = shift.astype(np.float32)
    out.tensors["head.weight"] = _float64(head.fc.weight).astype(np.float32)
    out.tensors["head.bias"] = _float64(head.fc.bias).astype(np.float32)
    _append(HeadStep("head", shape, head.fc.out_features), out)


def calibrate(network: nn.Module, image_size: int, seed: int = 0, images: int = 4) -> None:
    """Gives an untrained network the batch-norm statistics of seeded noise, and small offsets.

    Fresh statistics (mean 0, variance 1) make most bits constant; with these about half are +1, as
    in a trained network. The offsets keep means of a few integers from being exact ties.
    """
    generator = torch.Generator().manual_seed(seed)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
        offset = torch.randn(norm.num_features, generator=generator)
        norm.bias.data.add_(0.1 * offset)
    network.train()
    with torch.no_grad():
        network(torch.randn(images, 3, image_size, image_size, generator=generator))
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
