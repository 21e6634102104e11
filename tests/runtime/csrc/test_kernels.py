"""Single binary convolutions: every implementation counts exactly what NumPy counts."""

import ctypes
import functools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.kernels import bitpack, library


@functools.cache
def problem(
    channels: int, height: int, width: int, outputs: int, padding: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two images, weights and their mismatches by the reference."""
    rng = np.random.default_rng([channels, height, width, outputs])
    x = rng.integers(0, 2**32, (2, height, width, channels // 32), dtype=np.uint32)
    weight = rng.integers(0, 2**32, (outputs, 3, 3, channels // 32), dtype=np.uint32)
    return x, weight, bitpack.conv3x3(x, weight, padding)


@pytest.mark.parametrize("padding", [-1, 0, 1])
@pytest.mark.parametrize("channels", [32, 64, 96, 160, 224, 288])
def test_counts_on_all_small_maps(implementation, channels, padding):
    for size in range(1, 10):
        for height, width in ((size, size), (size, 10 - size)):
            x, weight, expected = problem(channels, height, width, 64, padding)
            assert np.array_equal(library.conv3x3(x, weight, padding), expected), (height, width)


@pytest.mark.parametrize("padding", [-1, 0, 1])
@pytest.mark.parametrize("size", [14, 28, 56])
def test_counts_on_the_maps_of_the_networks(implementation, size, padding):
    x, weight, expected = problem(96 if size > 14 else 288, size, size, 64, padding)
    assert np.array_equal(library.conv3x3(x, weight, padding), expected)


@pytest.mark.parametrize("channels", [352, 416, 544, 1024, 1856])
def test_counts_of_wide_layers(implementation, channels):
    x, weight, expected = problem(channels, 4, 3, 64, -1)
    assert np.array_equal(library.conv3x3(x, weight, -1), expected)


@pytest.mark.parametrize("outputs", [1, 2, 31, 32, 33, 63, 64, 65, 130])
def test_any_number_of_outputs(implementation, outputs):
    x, weight, expected = problem(96, 4, 5, outputs, 0)
    assert np.array_equal(library.conv3x3(x, weight, 0), expected)


@pytest.mark.parametrize("channels", [32, 992, 1024, 7264])
def test_largest_and_smallest_counts(implementation, channels):
    """All bits differ, or none does: byte sums must be widened in time, 16 bits must suffice."""
    x = np.zeros((1, 3, 4, channels // 32), np.uint32)
    weight = np.full((2, 3, 3, channels // 32), 0xFFFFFFFF, np.uint32)
    weight[1] = 0
    mismatches = library.conv3x3(x, weight, -1)
    assert (mismatches[..., 0] == 9 * channels).all()
    assert (mismatches[..., 1] == 0).all()


def test_padding_zero_keeps_the_dot_product(implementation):
    """K - 2 m with padding 0 is the convolution of +-1 without the taps outside."""
    x, weight, _ = problem(64, 5, 4, 8, 0)
    values = bitpack.unpack(x).astype(np.int32)
    taps = bitpack.unpack(weight).astype(np.int32)
    dot = 9 * 64 - 2 * library.conv3x3(x, weight, 0)
    corner = sum(
        values[:, dy, dx] @ taps[:, dy + 1, dx + 1].T for dy in range(2) for dx in range(2)
    )
    assert np.array_equal(dot[:, 0, 0], corner)


@settings(
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # every example selects anew
)
@given(
    words=st.integers(1, 12),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    outputs=st.integers(1, 70),
    padding=st.sampled_from([-1, 0, 1]),
    density=st.sampled_from([0.0, 0.05, 0.5, 0.95, 1.0]),
    seed=st.integers(0, 2**32),
)
def test_any_shape_and_density(supported, words, height, width, outputs, padding, density, seed):
    rng = np.random.default_rng(seed)
    x = bitpack.pack_bits(rng.random((1, height, width, 32 * words)) < density)
    weight = bitpack.pack_bits(rng.random((outputs, 3, 3, 32 * words)) < 1 - density)
    expected = bitpack.conv3x3(x, weight, padding)
    for name in supported:
        library.select(name)
        assert np.array_equal(library.conv3x3(x, weight, padding), expected), name


def misaligned(array: np.ndarray) -> np.ndarray:
    """A copy that starts 4 bytes behind a multiple of 64."""
    buffer = library.allocate(array.nbytes + 64)[4 : 4 + array.nbytes]
    copy = buffer.view(array.dtype).reshape(array.shape)
    copy[...] = array
    assert copy.ctypes.data % 64 == 4
    return copy


def test_pointers_need_no_alignment(implementation):
    x, weight, expected = problem(96, 5, 6, 64, -1)
    assert np.array_equal(library.conv3x3(misaligned(x), misaligned(weight), -1), expected)
    rng = np.random.default_rng(4)
    floats = rng.normal(size=(9, 96)).astype(np.float32)
    bounds = rng.normal(size=96).astype(np.float32)
    assert np.array_equal(
        library.pack(misaligned(floats), misaligned(bounds)), bitpack.pack(floats, bounds)
    )


@pytest.mark.parametrize("outputs", [1, 64, 65])
def test_nothing_is_written_beside_the_result(implementation, outputs):
    x, weight, expected = problem(96, 5, 3, outputs, -1)
    kernels = library.load_library()
    size = ctypes.c_size_t()

    def call(mismatches: int | None, workspace: int | None) -> int:
        return kernels.bnn_conv3x3(
            x.ctypes.data, weight.ctypes.data, 2, 5, 3, 96, outputs, -1,
            mismatches, workspace, ctypes.byref(size),
        )  # fmt: skip

    assert call(None, None) == 0
    workspace = library.allocate(size.value + 64)
    workspace[size.value :] = 0xA5
    result = np.full(expected.size + 32, -77, np.int32)
    assert call(result[16:].ctypes.data, workspace.ctypes.data) == 0
    assert np.array_equal(result[16:-16].reshape(expected.shape), expected)
    assert (result[:16] == -77).all()
    assert (result[-16:] == -77).all()
    assert (workspace[size.value :] == 0xA5).all()


def test_pack_writes_nothing_beside_the_result(implementation):
    x = np.ones((3, 96), np.float32)
    threshold, flip = np.zeros(96, np.float32), np.zeros(3, np.uint32)
    result = np.full(9 + 32, 0xA5A5A5A5, np.uint32)
    pointers = (x.ctypes.data, threshold.ctypes.data, flip.ctypes.data)
    status = library.load_library().bnn_pack(*pointers, 3, 96, result[16:].ctypes.data)
    assert status == 0
    assert (result[16:-16] == 0xFFFFFFFF).all()
    assert (result[:16] == 0xA5A5A5A5).all()
    assert (result[-16:] == 0xA5A5A5A5).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": -1}, "n: expected 0"),
        ({"height": 0}, "height: expected 1"),
        ({"width": 2**40}, "width: expected 1"),
        ({"channels": 33}, "channels: expected a multiple of 32, found 33"),
        ({"channels": 7296}, "channels: expected 32"),
        ({"channels": -32}, "channels: expected 32"),
        ({"channels_out": 0}, "channels_out: expected 1"),
        ({"padding": 2}, "padding: expected -1..1, found 2"),
    ],
)
def test_refuses_shapes(change, message):
    arguments = {"n": 1, "height": 4, "width": 4, "channels": 32, "channels_out": 1, "padding": 0}
    size = ctypes.c_size_t()
    kernels = library.load_library()
    status = kernels.bnn_conv3x3(
        None, None, *(arguments | change).values(), None, None, ctypes.byref(size)
    )
    assert status == 1
    assert message in kernels.bnn_error().decode()


def test_refuses_a_short_or_misaligned_workspace():
    x, weight, expected = problem(32, 3, 3, 1, -1)
    kernels = library.load_library()
    workspace, result = library.allocate(1 << 16), np.empty(expected.size, np.int32)
    for offset, given_bytes, status, message in (
        (0, 100, 4, "found 100; ask with workspace NULL"),
        (4, 1 << 15, 1, "aligned to 64"),
    ):
        size = ctypes.c_size_t(given_bytes)
        found = kernels.bnn_conv3x3(
            x.ctypes.data, weight.ctypes.data, 2, 3, 3, 32, 1, -1,
            result.ctypes.data, workspace.ctypes.data + offset, ctypes.byref(size),
        )  # fmt: skip
        assert found == status
        assert message in kernels.bnn_error().decode()
