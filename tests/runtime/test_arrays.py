"""Aligned arrays, and the check that says what it expected and what it found."""

import numpy as np
import pytest

from runtime import arrays


@pytest.mark.parametrize("size", [1, 64, 1000])
def test_allocate_aligns(size):
    for _ in range(8):
        array = arrays.allocate(size)
        assert array.shape == (size,)
        assert array.ctypes.data % arrays.ALIGNMENT == 0


def test_require_returns_the_address():
    array = np.zeros((2, 3), np.float32)
    assert arrays.require("x", array, np.float32, (2, None)) == array.ctypes.data


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 3)),
        np.zeros((3, 3), np.float32),
        np.zeros(6, np.float32),
        np.zeros((2, 6), np.float32)[:, ::2],
    ],
)
def test_require_refuses_what_does_not_fit(array):
    with pytest.raises(
        ValueError, match=r"x: expected a contiguous float32 array \[2, any\], found"
    ):
        arrays.require("x", array, np.float32, (2, None))
