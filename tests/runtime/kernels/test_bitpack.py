"""The NumPy definition itself, against arithmetic on -1 and +1."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.kernels import bitpack
from runtime.kernels.parts import BinaryLayer, Stage


def test_bit_1_is_plus_one_and_channel_0_is_bit_0():
    x = np.full((1, 32), -1.0, np.float32)
    x[0, 0] = 1.0
    assert bitpack.pack(x).tolist() == [[1]]
    assert bitpack.unpack(np.array([[0x80000000]], np.uint32))[0].tolist() == [-1] * 31 + [1]


@given(seed=st.integers(0, 2**32), words=st.integers(1, 9))
def test_pack_and_unpack_are_inverse(seed, words):
    bits = np.random.default_rng(seed).random((3, 32 * words)) < 0.5
    packed = bitpack.pack_bits(bits)
    assert packed.dtype == np.uint32
    assert packed.shape == (3, words)
    assert np.array_equal(bitpack.unpack_bits(packed), bits)


@pytest.mark.parametrize("channels", [0, 1, 31, 33])
def test_channels_come_in_whole_words(channels):
    with pytest.raises(ValueError, match=f"whole words of 32, found {channels}"):
        bitpack.pack_bits(np.zeros((2, channels), np.bool_))


def test_threshold_and_flip():
    x = np.tile(np.array([-1.0, 0.0, 0.5, 1.0], np.float32), 8)[np.newaxis]
    threshold = np.full(32, 0.5, np.float32)
    assert bitpack.pack(x, threshold).tolist() == [[0xCCCCCCCC]]
    assert bitpack.pack(x, threshold, np.array([0xF], np.uint32)).tolist() == [[0xCCCCCCC3]]


def test_signs_of_zeros_and_nan():
    x = np.zeros((1, 32), np.float32)
    x[0, 1], x[0, 2] = -0.0, np.nan
    assert bitpack.pack(x).tolist() == [[0xFFFFFFFB]]


def test_weights_are_packed_by_sign_along_channels():
    weight = np.full((2, 64, 3, 3), -0.25, np.float32)
    weight[1, 40, 2, 0] = 0.0
    packed = bitpack.pack_weights(weight)
    assert packed.shape == (2, 3, 3, 2)
    assert packed[1, 2, 0].tolist() == [0, 1 << 8]
    assert packed.sum() == 1 << 8


def test_weights_of_another_shape_are_refused():
    with pytest.raises(
        ValueError, match=r"expected weights \[out, c, 3, 3\], found \[4, 32, 1, 1\]"
    ):
        bitpack.pack_weights(np.zeros((4, 32, 1, 1), np.float32))


def test_weights_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="found NaN"):
        bitpack.pack_weights(np.full((1, 32, 3, 3), np.nan, np.float32))


@pytest.mark.parametrize("padding", [-1, 0, 1])
def test_mismatches_give_the_dot_product(padding, rng):
    """K - 2 m is the convolution of the padded -1/+1 map, seven loops long."""
    x = np.where(rng.random((1, 3, 4, 32)) < 0.5, -1, 1)
    weight = np.where(rng.random((2, 32, 3, 3)) < 0.5, -1, 1)
    mismatches = bitpack.conv3x3(
        bitpack.pack_bits(x > 0), bitpack.pack_weights(weight.astype(np.float32)), padding
    )
    for y, column, output in np.ndindex(3, 4, 2):
        dot = 0
        for dy, dx in np.ndindex(3, 3):
            row, col = y + dy - 1, column + dx - 1
            inside = 0 <= row < 3 and 0 <= col < 4
            values = x[0, row, col] if inside else np.full(32, padding)
            dot += int(values @ weight[output, :, dy, dx])
        assert 9 * 32 - 2 * mismatches[0, y, column, output] == dot


def test_other_paddings_are_refused():
    words = np.zeros((1, 2, 2, 1), np.uint32)
    with pytest.raises(ValueError, match=r"expected padding -1, 0 or \+1, found 2"):
        bitpack.conv3x3(words, np.zeros((1, 3, 3, 1), np.uint32), 2)


def test_stage_appends_and_improves(rng):
    """Dense results come last; improvements are added to the last 64 channels only."""

    def layer(channels: int, is_improvement: bool) -> BinaryLayer:
        return BinaryLayer(
            np.full((64, 3, 3, channels // 32), 0xFFFFFFFF, np.uint32),
            np.full(channels, -np.inf, np.float32),
            np.zeros(channels // 32, np.uint32),
            is_improvement,
        )

    x = rng.normal(size=(32, 1, 1)).astype(np.float32)
    stage = Stage(32, 1, 1, 0, [layer(32, False), layer(96, True), layer(96, False)])
    y = bitpack.run_stage(stage, x)[:, 0, 0]
    assert np.array_equal(y[:32], x[:, 0, 0])
    assert (y[32:96] == 32 + 96).all()  # one tap inside the image
    assert (y[96:] == 96).all()
