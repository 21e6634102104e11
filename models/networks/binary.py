"""The two binary primitives: the activation with a straight-through estimator, the convolution.

Source: Bethge et al. 2020, "MeliusNet: An Improved Network Architecture for Binary Neural
Networks", and the authors' training code. sign(0) = +1; the gradient of the activation passes where
|x| <= clip, the gradient of the weight always.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLIP = 1.3  # every published run; the framework's own default is 1.0
LATENT = 0.03  # size of latent weights that only signs are known of; random ones are about as large
PADDING_VALUES = (-1, 0, 1)


class _Binarize(torch.autograd.Function):
    """+1 where x >= 0 (so for 0.0 and -0.0), else -1.

    Straight-through gradient where |x| <= clip.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, clip: float) -> Tensor:
        ctx.save_for_backward(x.abs() <= clip)
        return (x >= 0).to(x.dtype).mul_(2).sub_(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (passes,) = ctx.saved_tensors
        return gradients[0] * passes, None


class _BinarizeWeight(torch.autograd.Function):
    """The sign of the latent weight, sign(0) = +1; identity gradient."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        return (weight >= 0).to(weight.dtype).mul_(2).sub_(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def binarize(x: Tensor, clip: float = CLIP) -> Tensor:
    """Maps x to +1 where x >= 0 and to -1 elsewhere (NaN: -1), same shape and dtype.

    The gradient is the identity where |x| <= clip and zero elsewhere.
    """
    return cast(Tensor, _Binarize.apply(x, clip))  # type: ignore[no-untyped-call]


def binarize_weight(weight: Tensor) -> Tensor:
    """Maps a latent weight to its sign, sign(0) = +1, with identity gradient."""
    return cast(Tensor, _BinarizeWeight.apply(weight))  # type: ignore[no-untyped-call]


class BinaryActivation(nn.Module):
    """Batch norm and binarize: [N, C, H, W] -> +-1 of the same shape.

    `shift` is the unbalanced activation threshold of Kim et al. (CVPR 2021): sign(BN(x) - shift).
    As the batch norm has a trainable offset, a fixed shift is the same as an offset that starts at
    -shift, and that is how it is done here: it costs nothing at inference.
    """

    def __init__(self, channels: int, clip: float = CLIP, shift: float = 0.0) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.clip = clip
        self.noise = 0.0  # deviation of what is added before signs are taken, in training alone
        self.generator: torch.Generator | None = None  # of the noise
        nn.init.constant_(self.bn.bias, -shift)

    def forward(self, x: Tensor) -> Tensor:
        return binarize(self.normalize(x), self.clip)

    def normalize(self, x: Tensor) -> Tensor:
        """Batch norm, and noise in training: what signs are taken of."""
        x = cast(Tensor, self.bn(x))
        if not (self.training and self.noise):
            return x
        noise = torch.empty_like(x).normal_(0, self.noise, generator=self.generator)
        return x + noise


class BinaryConv2d(nn.Module):
    """3x3 convolution, stride 1, of a +-1 map with the signs of latent weights; no bias, no
    scaling.

    [N, C_in, H, W] in {-1, +1} -> [N, C_out, H, W], integers in -9 C_in .. 9 C_in. The border is
    filled with `padding` in {-1, 0, +1}; the authors use -1.
    """

    def __init__(self, channels_in: int, channels_out: int, padding: int = -1) -> None:
        super().__init__()
        if padding not in PADDING_VALUES:
            raise ValueError(f"padding is {padding}; expected one of {PADDING_VALUES}")
        self.channels_in, self.channels_out, self.padding = channels_in, channels_out, padding
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in, 3, 3))
        nn.init.kaiming_normal_(self.weight, mode="fan_in")  # Xavier gaussian, fan-in, magnitude 2

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1), value=float(self.padding))
        return F.conv2d(x, binarize_weight(self.weight))

    def extra_repr(self) -> str:
        return f"{self.channels_in}, {self.channels_out}, padding={self.padding}"
