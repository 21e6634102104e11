"""The binary convolution of a training on a CPU: packed bits forwards, matrix products backwards.

It answers as BinaryConv2d of a binarized map does, exactly, and has the same gradients but for the
rounding of float sums. Forwards, the runtime's kernels count bits. Backwards, the gradient of the
output is laid out once, as a matrix of windows; its products with the weight's signs and with the
bits of the input are the gradients of input and weight.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from models.networks.binary import binarize_weight

TAPS = 9
WORD = 32  # bits
ROWS = 1024  # positions at a time for each thread: their windows stay in the cache


def load_kernels() -> None:
    """Raises TorchUnavailable, where the build left torch's operators out."""
    from runtime.engines.ops import load_operators  # importing it already needs them

    load_operators()


def convolve(x: Tensor, weight: Tensor, clip: float, padding: int) -> Tensor:
    """BinaryConv2d of binarize(x, clip): float32 [N, C, H, W], C a multiple of 32, [O, C, 3, 3] ->
    float32 [N, O, H, W], channels last.

    Raises TorchUnavailable if the operators cannot be loaded, RuntimeError for another type.
    """
    load_kernels()
    return cast(Tensor, _Convolution.apply(x, weight, clip, padding))  # type: ignore[no-untyped-call]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, clip: float, padding: int) -> Tensor:
        rows = x.permute(0, 2, 3, 1).contiguous()  # [N, H, W, C]
        ctx.save_for_backward(rows, weight)
        ctx.clip, ctx.padding = clip, padding
        bits, taps = _pack(rows), _pack(weight.permute(0, 2, 3, 1).contiguous())
        mismatches = torch.ops.bnn.conv3x3(bits, taps, padding)
        result: Tensor = (TAPS * rows.shape[3] - 2 * mismatches).to(x.dtype)
        return result.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        n, height, width, channels = x.shape
        wanted = gradients[0].permute(0, 2, 3, 1).contiguous()  # [N, H, W, O]
        out, area = wanted.shape[3], height * width
        # An input is read with tap (ky, kx) by the output at (1 - ky, 1 - kx) from it.
        signs = binarize_weight(weight).flip((2, 3)).permute(2, 3, 0, 1).reshape(-1, channels)
        at_x = torch.empty_like(x).view(-1, channels)
        x = x.view(-1, channels)
        products = torch.zeros_like(signs)  # of windows and bits, 0 and 1
        inside = torch.zeros(len(signs))
        # hardtanh's gradient ends before its limits, that of binarize at them
        most = torch.nextafter(torch.tensor(ctx.clip), torch.tensor(math.inf)).item()
        step = max(1, ROWS * torch.get_num_threads() // area)
        for first in range(0, n, step):
            windows = _windows(wanted[first : first + step])
            part = slice(first * area, min(first + step, n) * area)
            torch.mm(windows, signs, out=at_x[part])
            torch.ops.aten.hardtanh_backward.grad_input(
                at_x[part], x[part], -most, most, grad_input=at_x[part]
            )
            products.addmm_(windows.t(), (x[part] >= 0).to(x.dtype))
            if ctx.padding != -1:
                inside += windows.sum(0)
        # A value is 2 bit - 1, outside, too: there the bit is (padding + 1) / 2.
        total = wanted.sum((0, 1, 2)).repeat(TAPS)
        at_weight = 2 * products
        at_weight += ((ctx.padding + 1) * (total - inside) - total)[:, None]
        at_weight = at_weight.view(3, 3, out, channels).flip((0, 1)).permute(2, 3, 0, 1)
        return at_x.view(n, height, width, channels).permute(0, 3, 1, 2), at_weight, None, None


def _pack(x: Tensor) -> Tensor:
    """Float [..., C] -> words int32 [..., C / 32] of the bits x >= 0."""
    channels = x.shape[-1]
    threshold = torch.zeros(channels)
    return torch.ops.bnn.pack(x, threshold, torch.zeros(channels // WORD, dtype=torch.int32))  # type: ignore[no-any-return]


def _windows(x: Tensor) -> Tensor:
    """[n, H, W, O] -> [n * H * W, 9 O]: of each position the 3x3 around it, with zeros outside."""
    n, height, width, out = x.shape
    padded = F.pad(x, (0, 0, 1, 1, 1, 1))
    image, row, column, one = padded.stride()
    shape, strides = (n, height, width, 3, 3, out), (image, row, column, row, column, one)
    return padded.as_strided(shape, strides).reshape(-1, TAPS * out)
