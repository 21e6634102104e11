"""The full-precision reference: a packed network in plain torch layers, +-1 as float32.

It is the comparison in runtime.bench and an oracle in tests, never an engine. Each packed step
becomes what a float framework runs for it: batch norm, select +-1, pad, convolve, concatenate.
Where a bundle has folded something (the stem's batch norms into its convolutions), the twin profits
from it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from runtime.bundle import Bundle
from runtime.kernels.bitpack import unpack_bits
from runtime.kernels.parts import Floats, Window
from runtime.plan import FloatLayer, HeadStep, Plan, StageStep, StemStep, Step, TransitionStep

Tensors = Mapping[str, NDArray[Any]]


class FloatNetwork(nn.Sequential):
    """The steps of a plan: images float32 [N, 3, H, W] -> logits float32 [N, classes]."""

    def __init__(self, plan: Plan, tensors: Tensors) -> None:
        super().__init__(*(_make_part(step, tensors) for step in plan))
        self.eval().requires_grad_(False)


class EagerNetwork:
    """The full-precision reference in eager mode, called like an engine, for runtime.bench.

    torch has one thread count per process, and making one of these sets it.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        torch.set_num_threads(threads)
        self._network = FloatNetwork(bundle.manifest.plan, bundle.tensors())

    def predict(self, images: Floats) -> Floats:
        """float32 [N, 3, H, W] -> logits float32 [N, classes]."""
        with torch.inference_mode():
            logits: Floats = self._network(torch.from_numpy(images)).numpy()
        return logits

    def run_part(self, index: int, x: Floats) -> Floats:
        """One step of the plan: float32 [N, C, H, W] -> its output."""
        with torch.inference_mode():
            y: Floats = self._network[index](torch.from_numpy(x)).numpy()
        return y


class BinaryLayer(nn.Module):
    """Batch norm, binarize, 3x3 convolution with +-1 weights; [N, C, H, W] -> [N, 64, H, W]."""

    def __init__(self, name: str, tensors: Tensors, padding: int, is_improvement: bool) -> None:
        super().__init__()
        threshold, flip = tensors[f"{name}.threshold"], unpack_bits(tensors[f"{name}.flip"])
        self.bn = batch_norm_of(threshold, flip)
        signs = np.where(unpack_bits(tensors[f"{name}.weight"]), 1, -1).astype(np.float32)
        self.weight = nn.Parameter(torch.from_numpy(signs).permute(0, 3, 1, 2).contiguous())
        self.padding = float(padding)
        self.is_improvement = is_improvement

    def forward(self, x: Tensor) -> Tensor:
        growth = self.weight.shape[0]
        signs = torch.where(self.bn(x) >= 0, 1.0, -1.0)
        y = F.conv2d(F.pad(signs, (1, 1, 1, 1), value=self.padding), self.weight)
        if not self.is_improvement:
            return torch.cat((x, y), dim=1)
        return torch.cat((x[:, :-growth], x[:, -growth:] + y), dim=1)


class Affine(nn.BatchNorm2d):
    """scale * x + shift per channel, run as a framework runs it: as a batch norm."""

    def __init__(self, scale: NDArray[np.float32], shift: NDArray[np.float32]) -> None:
        super().__init__(len(scale), eps=0.0)
        self.weight.data.copy_(_tensor(scale))
        self.bias.data.copy_(_tensor(shift))


class Padded(nn.Module):
    """Pads [before, after] on both axes with a value, then runs a layer without padding."""

    def __init__(self, padding: Sequence[int], value: float, layer: nn.Module) -> None:
        super().__init__()
        self.padding, self.value, self.layer = [*padding, *padding], value, layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(F.pad(x, self.padding, value=self.value))  # type: ignore[no-any-return]


def batch_norm_of(threshold: NDArray[np.float32], flip: NDArray[np.bool_]) -> nn.BatchNorm2d:
    """A batch norm whose result is >= 0 exactly if (x >= threshold) != flip.

    Scale +-1 and shift -+threshold, so that the sum is rounded once and has the right sign. With
    flip, x < t is the same as x <= the float32 below t.
    """
    with np.errstate(over="ignore"):  # below the smallest float32 there is -infinity: right
        turning = np.where(flip, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    scale = np.where(flip, -1, 1).astype(np.float32)
    return Affine(scale, -scale * turning)


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(array))  # a copy: the bundle's arrays are read-only


class Levels(nn.Module):
    """The input of an 8-bit layer: round(x * inverse_step) within 0..255, half to even."""

    def __init__(self, inverse_step: float) -> None:
        super().__init__()
        self.inverse_step = inverse_step

    def forward(self, x: Tensor) -> Tensor:
        return torch.round(torch.clamp(x * self.inverse_step, 0.0, 255.0))


def _input_and_weight(
    layer: FloatLayer, name: str, tensors: Tensors
) -> tuple[list[nn.Module], NDArray[np.float32]]:
    """What comes before a float layer, and its weight; in 8-bit arithmetic one that turns sums of
    levels into values.
    """
    weight = tensors[f"{name}.weight"]
    if not layer.is_int8:
        return [], weight
    scale = tensors[f"{name}.sum_scale"].reshape(-1, *[1] * (weight.ndim - 1))
    return [Levels(float(tensors[f"{name}.inverse_step"][0]))], weight * scale


def _convolution(
    weight: NDArray[np.float32], bias: NDArray[np.float32] | None, window: Window, groups: int
) -> nn.Module:
    channels_out, per_group, kernel, _ = weight.shape
    before, after = window.padding_before, window.padding_after
    conv = nn.Conv2d(
        per_group * groups,
        channels_out,
        kernel,
        window.stride,
        before if before == after else 0,
        groups=groups,
        bias=bias is not None,
    )
    conv.weight.data.copy_(_tensor(weight))
    if bias is not None and conv.bias is not None:
        conv.bias.data.copy_(_tensor(bias))
    return conv if before == after else Padded((before, after), 0.0, conv)


def _max_pool(window: Window | None) -> list[nn.Module]:
    if window is None:
        return []
    before, after = window.padding_before, window.padding_after
    if before == after <= window.kernel // 2:  # what torch permits
        return [nn.MaxPool2d(window.kernel, window.stride, before)]
    pool = nn.MaxPool2d(window.kernel, window.stride)
    return [Padded((before, after), float("-inf"), pool)]


def _make_part(step: Step, tensors: Tensors) -> nn.Sequential:
    match step:
        case StemStep():
            return nn.Sequential(*_stem_layers(step, tensors))
        case StageStep():
            return nn.Sequential(*_stage_layers(step, tensors))
        case TransitionStep():
            return nn.Sequential(*_transition_layers(step, tensors))
        case HeadStep():
            return nn.Sequential(*_head_layers(step, tensors))


def _stem_layers(step: StemStep, tensors: Tensors) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for i, conv in enumerate(step.convolutions):
        before, weight = _input_and_weight(conv, f"{step.name}.conv{i}", tensors)
        bias = tensors[f"{step.name}.conv{i}.bias"]
        layers += [*before, _convolution(weight, bias, conv.window, conv.groups)]
        layers.extend([nn.ReLU(inplace=True)] if conv.relu else [])
    return layers + _max_pool(step.pool)


def _stage_layers(step: StageStep, tensors: Tensors) -> list[nn.Module]:
    return [
        BinaryLayer(f"{step.name}.layer{i}", tensors, step.padding, kind == "improvement")
        for i, kind in enumerate(step.layers)
    ]


def _transition_layers(step: TransitionStep, tensors: Tensors) -> list[nn.Module]:
    affine = Affine(tensors[f"{step.name}.scale"], tensors[f"{step.name}.shift"])
    layers = [affine, *_max_pool(step.pool), nn.ReLU(inplace=True)]
    if step.shuffle_groups > 1:
        layers.append(nn.ChannelShuffle(step.shuffle_groups))
    before, weight = _input_and_weight(step, step.name, tensors)
    return [*layers, *before, _convolution(weight, None, Window(1, 1), step.groups)]


def _head_layers(step: HeadStep, tensors: Tensors) -> list[nn.Module]:
    affine = Affine(tensors[f"{step.name}.scale"], tensors[f"{step.name}.shift"])
    before, weight = _input_and_weight(step, step.name, tensors)
    dense = nn.Linear(step.input[0], step.classes)
    dense.weight.data.copy_(_tensor(weight))
    dense.bias.data.copy_(_tensor(tensors[f"{step.name}.bias"]))
    mean = [nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return [affine, *mean, *before, dense]
