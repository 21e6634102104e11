"""MeliusNet and, without its improvement blocks, BinaryDenseNet.

Bethge et al. 2020 and 2019. Reading order is execution order: stem, then stages joined by
transitions, then the head. Shapes are [N, C, H, W].
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks import binary_kernels
from models.networks.binary import BinaryActivation, BinaryConv2d
from models.networks.specs import GROWTH, INITIAL_CHANNELS, SHUFFLE_GROUPS, Spec


class ConvBNReLU(nn.Sequential):
    """Float convolution without bias, batch norm, ReLU."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(
                channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False
            ),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )


def make_stem(name: str) -> nn.Sequential:
    """Float layers from the image to 64 channels: [N, 3, H, W] -> [N, 64, H/s, W/s].

    grouped (s = 4): the paper's; three 3x3 convolutions, the last two with 4 and 8 groups, then a
    max pool. imagenet7x7 (s = 4): the authors' option, one 7x7 convolution and the pool. thumbnail
    (s = 1): the authors' choice under 50 pixels, one bare convolution. small (s = 2): ours, for
    images of 32 to 64 pixels: two convolutions, the second with stride 2.
    """
    if name == "grouped":
        return nn.Sequential(
            ConvBNReLU(3, 32, 3, stride=2),
            ConvBNReLU(32, 32, 3, groups=4),
            ConvBNReLU(32, INITIAL_CHANNELS, 3, groups=8),
            nn.MaxPool2d(3, 2, 1),
        )
    if name == "imagenet7x7":
        return nn.Sequential(ConvBNReLU(3, INITIAL_CHANNELS, 7, stride=2), nn.MaxPool2d(3, 2, 1))
    if name == "thumbnail":
        return nn.Sequential(nn.Conv2d(3, INITIAL_CHANNELS, 3, 1, 1, bias=False))
    if name == "small":
        return nn.Sequential(ConvBNReLU(3, 32, 3), ConvBNReLU(32, INITIAL_CHANNELS, 3, stride=2))
    raise ValueError(f"unknown stem {name!r}")


def make_layer(channels: int, spec: Spec) -> tuple[nn.Module, nn.Module]:
    """(activation, convolution) of a block: [N, C, H, W] -> the same -> [N, 64, H, W].

    Of the full-precision reference: batch norm and ReLU, and a convolution with float weights,
    padded with 0.
    """
    if spec.binary:
        activation: nn.Module = BinaryActivation(channels, shift=spec.shift)
        return activation, BinaryConv2d(channels, GROWTH, spec.padding)
    activation = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
    return activation, nn.Conv2d(channels, GROWTH, 3, padding=1, bias=False)


class _Block(nn.Module):
    """What both blocks share, a layer: activation and convolution. by_kernels: see use_kernels."""

    def __init__(self, channels: int, spec: Spec) -> None:
        super().__init__()
        self.activation, self.conv = make_layer(channels, spec)
        self.by_kernels = False

    def convolve(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, 64, H, W]."""
        if not self.by_kernels:
            return self.conv(self.activation(x))  # type: ignore[no-any-return]
        activation = cast(BinaryActivation, self.activation)
        conv = cast(BinaryConv2d, self.conv)
        return binary_kernels.convolve(
            activation.normalize(x), conv.weight, activation.clip, conv.padding
        )


class DenseBlock(_Block):
    """Adds features: [N, C, H, W] -> [N, C + 64, H, W], the new channels last."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, self.convolve(x)), dim=1)


class ImprovementBlock(_Block):
    """Sharpens features: adds to the last 64 of [N, C, H, W] and passes the others through."""

    def forward(self, x: Tensor) -> Tensor:
        kept, fresh = x[:, :-GROWTH], x[:, -GROWTH:]
        return torch.cat((kept, fresh + self.convolve(x)), dim=1)


class Stage(nn.Sequential):
    """`blocks` dense blocks, each followed by an improvement block.

    [N, C, H, W] -> [N, C + 64 blocks, H, W].
    """

    def __init__(self, channels: int, blocks: int, spec: Spec) -> None:
        layers: list[nn.Module] = []
        for _ in range(blocks):
            layers.append(DenseBlock(channels, spec))
            channels += GROWTH
            if spec.improvement:
                layers.append(ImprovementBlock(channels, spec))
        super().__init__(*layers)


class Transition(nn.Module):
    """Between stages: batch norm, 2x2 max pool, ReLU, channel shuffle, 1x1 convolution.

    [N, C, H, W] -> [N, C_out, H/2, W/2]. The batch norm stands before the pool: with a negative
    scale the two do not commute.
    """

    def __init__(self, channels_in: int, channels_out: int, groups: int, shuffle: bool) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels_in)
        self.pool = nn.MaxPool2d(2, 2)
        self.shuffle = nn.ChannelShuffle(SHUFFLE_GROUPS) if shuffle else nn.Identity()
        self.conv = nn.Conv2d(channels_in, channels_out, 1, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.shuffle(F.relu(self.pool(self.bn(x)))))  # type: ignore[no-any-return]


class Head(nn.Module):
    """Batch norm, ReLU, mean over positions, dense layer: [N, C, H, W] -> logits [N, classes]."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.relu(self.bn(x)).mean(dim=(2, 3)))  # type: ignore[no-any-return]


class MeliusNet(nn.Module):
    """The network of a spec: images [N, 3, H, W] -> logits [N, num_classes]."""

    def __init__(self, spec: Spec, num_classes: int = 1000) -> None:
        super().__init__()
        self.spec = spec
        self.num_classes = num_classes
        channels = spec.stage_channels
        self.stem = make_stem(spec.stem)
        self.stages = nn.ModuleList(
            Stage(c_in, blocks, spec)
            for (c_in, _), blocks in zip(channels, spec.blocks, strict=True)
        )
        self.transitions = nn.ModuleList(
            Transition(c_out, after, spec.groups, spec.shuffle)
            for (_, c_out), after in zip(channels, spec.transitions, strict=False)
        )
        self.head = Head(channels[-1][1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_in")

    def layer_groups(self) -> list[nn.Module]:
        """Stem, stage, transition, stage, ...: all but the head, in order of execution."""
        found: list[nn.Module] = [self.stem]
        for i, stage in enumerate(self.stages):
            found += [stage, *self.transitions[i : i + 1]]
        return found

    def forward(self, x: Tensor, skip: int = 0) -> Tensor:
        """x: images, or what the first `skip` layer groups make of them."""
        for group in self.layer_groups()[skip:]:
            x = group(x)
        return self.head(x)  # type: ignore[no-any-return]


def use_kernels(network: nn.Module, wanted: bool = True) -> None:
    """Lets binary layers run by the runtime's kernels (binary_kernels), in float32 on a CPU.

    Float layers, and those of other networks, stay as they are.
    """
    for block in network.modules():
        if isinstance(block, _Block) and isinstance(block.conv, BinaryConv2d):
            block.by_kernels = wanted
