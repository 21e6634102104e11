"""Aligned arrays, and the check that says what it expected and what it found."""

import numpy as np
import pytest

from runtime.kernels import arrays


@pytest.mark.parametrize("size", [1, 64, 1000])
def test_allocate_aligns(size):
    for _ in range(8):
        array = arrays.allocate(size)
        assert array.shape == (size,)
        assert array.ctypes.data % arrays.ALIGNMENT == 0


def test_require_returns_the_address():
    array = np.zeros((2, 3), np.float32)
    assert arrays.require("x", array, np.float32, (2, None)) == array.ctypes.data


def test_require_refuses_what_must_be_written_but_is_read_only():
    array = np.zeros(3, np.float32)
    array.flags.writeable = False
    assert arrays.require("x", array, np.float32, (3,)) == array.ctypes.data
    with pytest.raises(ValueError, match="x: expected a writable array, found a read-only one; "):
        arrays.require("x", array, np.float32, (3,), writable=True)


def test_require_apart():
    memory = np.zeros(8, np.float32)
    arrays.require_apart(x=memory[:4], y=memory[4:], z=np.zeros(8))
    with pytest.raises(ValueError, match="z: expected memory of its own, found some that x uses"):
        arrays.require_apart(x=memory[:4], y=memory[4:], z=memory[3:5])


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
