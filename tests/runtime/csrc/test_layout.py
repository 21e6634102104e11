"""Bit 1 is +1, channel i is bit i % 32 of word i / 32, in the kernels as in NumPy."""

import numpy as np
import pytest

from runtime.kernels import bitpack, library

ODD_VALUES = np.array(
    [0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45, 1.0, -1.0, 3.4e38], np.float32
)


def test_known_bits_of_a_tiny_map(implementation, make):
    x = np.full((1, 64), -1.0, np.float32)
    x[0, 0] = x[0, 33] = 1.0
    x[0, 31] = 0.0  # sign(0) is +1
    assert library.pack(x).tolist() == [[0x80000001, 0x00000002]]


def test_bytes_in_memory_start_with_channel_0(implementation, make):
    x = np.full((1, 32), -1.0, np.float32)
    x[0, :9] = 1.0
    assert library.pack(x).astype("<u4").tobytes() == bytes([0xFF, 0x01, 0x00, 0x00])


@pytest.mark.parametrize("channels", [32, 64, 96, 160, 224, 288, 544, 1856])
def test_pack_equals_numpy(implementation, make, channels):
    rng = np.random.default_rng(channels)
    x = make["floats"](rng, 23, channels)
    x[rng.random(x.shape) < 0.3] = 0.0
    threshold = make["floats"](rng, channels)
    threshold[rng.random(channels) < 0.5] = 0.0
    flip = make["words"](rng, channels // 32)
    assert np.array_equal(library.pack(x, threshold, flip), bitpack.pack(x, threshold, flip))


def test_unpack_inverts_pack(implementation, make):
    values = np.where(np.random.default_rng(1).random((7, 96)) < 0.5, -1, 1).astype(np.int8)
    words = library.pack(values.astype(np.float32))
    assert np.array_equal(bitpack.unpack(words), values)


def test_odd_values_and_odd_thresholds(implementation, make):
    x = np.repeat(ODD_VALUES[:, np.newaxis], 32, axis=1)
    for bound in ODD_VALUES[~np.isnan(ODD_VALUES)]:
        threshold = np.full(32, bound, np.float32)
        expected = np.where(bound <= ODD_VALUES, 0xFFFFFFFF, 0).astype(np.uint32)
        assert library.pack(x, threshold)[:, 0].tolist() == expected.tolist(), bound


def test_nan_compares_false_and_the_flip_turns_it(implementation, make):
    x = np.full((1, 32), np.nan, np.float32)
    assert library.pack(x).tolist() == [[0]]
    assert library.pack(x, flip=np.array([0x0000FFFF], np.uint32)).tolist() == [[0x0000FFFF]]


def test_zero_border_is_padding_of_minus_one(implementation, make):
    """A map framed by zero words, cropped, equals the same map with padding -1."""
    rng = np.random.default_rng(2)
    x, weight = make["words"](rng, 1, 4, 5, 2), make["words"](rng, 3, 3, 3, 2)
    framed = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    inside = library.conv3x3(framed, weight, 0)[:, 1:-1, 1:-1]
    assert np.array_equal(library.conv3x3(x, weight, -1), inside)


def test_border_of_ones_is_padding_of_plus_one(implementation, make):
    rng = np.random.default_rng(3)
    x, weight = make["words"](rng, 1, 4, 5, 2), make["words"](rng, 3, 3, 3, 2)
    frame = ((0, 0), (1, 1), (1, 1), (0, 0))
    framed = np.pad(x, frame, constant_values=np.uint32(0xFFFFFFFF))
    inside = library.conv3x3(framed, weight, 0)[:, 1:-1, 1:-1]
    assert np.array_equal(library.conv3x3(x, weight, 1), inside)
