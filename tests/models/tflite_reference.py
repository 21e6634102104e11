"""The integers that a quantised network computes, in NumPy: what the 8-bit graph is compared with.

Sums are exact; each is scaled by input scale * weight scale / output scale in float32 and rounded
to the nearest, as kernels for CPUs do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.tflite.network import Convolution, Layer

Bytes = NDArray[np.uint8]


def compute_logits(layers: Sequence[Layer], pixels: Bytes) -> Bytes:
    """uint8 [N, 3, S, S] -> uint8 [N, classes]."""
    x = pixels
    for layer in layers:
        x = _convolve(layer, x) if isinstance(layer, Convolution) else _pool(x)
    return x[:, :, 0, 0]


def _pool(x: Bytes) -> Bytes:
    return np.rint(x.mean((2, 3), keepdims=True, dtype=np.float64)).astype(np.uint8)


def _convolve(layer: Convolution, x: Bytes) -> Bytes:
    top, left, bottom, right = layer.padding
    zeros = layer.input.quantization.zero_point
    border = ((0, 0), (0, 0), (top, bottom), (left, right))
    # float64 holds the sums exactly and multiplies matrices fast
    x64 = np.pad(x.astype(np.float64) - zeros, border)
    weight = layer.weight.astype(np.float64) - layer.weight_quantization.zero_point
    height, width = layer.output.shape[:2]
    channels, per_group, *kernel = layer.weight.shape
    sums = np.zeros((len(x), channels, height, width))
    for dy, dx in np.ndindex(*kernel):
        taps = x64[:, :, dy :: layer.strides[0], dx :: layer.strides[1]][:, :, :height, :width]
        if layer.groups == 1:
            sums += np.tensordot(weight[:, :, dy, dx], taps, ([1], [1])).swapaxes(0, 1)
        else:
            assert per_group == 1
            times = channels // layer.groups
            sums += np.repeat(taps, times, axis=1) * weight[:, 0, dy, dx, None, None]
    sums += layer.bias[:, None, None]
    before, after = layer.input.quantization, layer.output.quantization
    product = np.float32(before.scale) * np.float32(layer.weight_quantization.scale)
    values = np.rint(sums.astype(np.float32) * (product / np.float32(after.scale)))
    low, high = 0.0, 255.0
    if layer.relu6:
        low = max(low, after.zero_point)
        high = min(high, after.zero_point + np.rint(6 / after.scale))
    return np.clip(values + after.zero_point, low, high).astype(np.uint8)
