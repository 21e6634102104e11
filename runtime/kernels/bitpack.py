"""The bit layout and the binary layers in plain NumPy: the readable definition of both.

Bit 1 is +1, bit 0 is -1. Channel i is bit i % 32 of word i / 32; words are uint32; channels are a
multiple of 32. A binary convolution counts mismatching bits m; its dot product is K - 2 m, K = 9 c.
"""

import numpy as np
from numpy.typing import NDArray

from runtime.kernels.parts import Floats, Stage, Words

WORD_BITS = 32
GROWTH = 64  # channels that a binary layer makes
KERNEL = 3  # side of its window
TAPS = KERNEL**2


def pack_bits(bits: NDArray[np.bool_]) -> Words:
    """Packs bits [..., c] -> words [..., c / 32]. Raises ValueError for other c than 32 k."""
    channels = bits.shape[-1]
    if channels == 0 or channels % WORD_BITS:
        raise ValueError(f"expected channels in whole words of {WORD_BITS}, found {channels}")
    packed = np.packbits(bits, axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u4").astype(np.uint32)


def unpack_bits(words: Words) -> NDArray[np.bool_]:
    """Unpacks words [..., w] -> bits [..., 32 w]."""
    octets = np.ascontiguousarray(words.astype("<u4")).view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little").astype(np.bool_)


def binarize(x: Floats, threshold: Floats, flip: Words) -> NDArray[np.bool_]:
    """Bits of x [..., c]: (x >= threshold [c]) ^ flip [c / 32]. NaN compares false."""
    bits: NDArray[np.bool_] = (x >= threshold) ^ unpack_bits(flip)
    return bits


def pack(x: Floats, threshold: Floats | None = None, flip: Words | None = None) -> Words:
    """Binarizes and packs x [..., c] -> words [..., c / 32]; both default to zeros."""
    channels = x.shape[-1]
    if threshold is None:
        threshold = np.zeros(channels, np.float32)
    if flip is None:
        flip = np.zeros(channels // WORD_BITS, np.uint32)
    return pack_bits(binarize(x, threshold, flip))


def unpack(words: Words) -> NDArray[np.int8]:
    """Unpacks words [..., w] -> values -1 and +1, [..., 32 w]."""
    return np.where(unpack_bits(words), np.int8(1), np.int8(-1))


def pack_weights(weight: Floats) -> Words:
    """Packs signs of latent weights [out, c, 3, 3] -> words [out, 3, 3, c / 32]; 0 counts as +1.

    Raises ValueError for another shape, NaN, or channels that are no multiple of 32.
    """
    if weight.ndim != 4 or weight.shape[2:] != (KERNEL, KERNEL):
        raise ValueError(f"expected weights [out, c, 3, 3], found {list(weight.shape)}")
    if np.isnan(weight).any():
        raise ValueError("expected weights that are numbers, found NaN; the training diverged")
    return pack_bits(np.moveaxis(weight >= 0, 1, -1))


def conv3x3(x: Words, weight: Words, padding: int = -1) -> NDArray[np.int32]:
    """Mismatches of x [n, h, w, c / 32] with weight [out, 3, 3, c / 32] -> int32 [n, h, w, out].

    padding is the value -1, 0 or +1 around the map; with 0 a tap outside adds c / 2 mismatches.
    """
    if padding not in (-1, 0, 1):
        raise ValueError(f"expected padding -1, 0 or +1, found {padding}")
    images, height, width, words = x.shape
    bits = unpack_bits(x).astype(np.float32) * 2 - 1
    taps = unpack_bits(weight).astype(np.float32) * 2 - 1
    border = ((0, 0), (1, 1), (1, 1), (0, 0))
    padded = np.pad(bits, border, constant_values=padding)
    product = np.zeros((images, height, width, weight.shape[0]), np.float32)  # exact below 2^24
    for dy in range(KERNEL):
        for dx in range(KERNEL):
            product += padded[:, dy : dy + height, dx : dx + width] @ taps[:, dy, dx].T
    mismatches: NDArray[np.int32] = (TAPS * WORD_BITS * words - product.astype(np.int32)) // 2
    return mismatches


def run_stage(stage: Stage, x: Floats) -> Floats:
    """Runs a stage layer by layer on float values: x [c, h, w] -> [c + 64 * dense layers, h, w]."""
    features = x
    for layer in stage.layers:
        channels = features.shape[0]
        words = pack(np.moveaxis(features, 0, -1), layer.threshold, layer.flip)
        mismatches = conv3x3(words[np.newaxis], layer.weight, stage.padding)[0]
        result = np.moveaxis(TAPS * channels - 2 * mismatches, -1, 0).astype(np.float32)
        if layer.is_improvement:
            features = np.concatenate([features[:-GROWTH], features[-GROWTH:] + result])
        else:
            features = np.concatenate([features, result])
    return features
