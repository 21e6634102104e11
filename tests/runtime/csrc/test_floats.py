"""Stem, transition, head: the same bits from every implementation, close to NumPy in float64."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from runtime.kernels import library
from runtime.kernels.parts import Convolution, Head, Stem, Transition, Window


def convolve(convolution, x):
    """Float64 convolution of x [n, c, h, w] as the sum over the window's taps."""
    window, groups = convolution.window, convolution.groups
    before, after, stride = window.padding_before, window.padding_after, window.stride
    x = np.pad(x, ((0, 0), (0, 0), (before, after), (before, after)))
    images, channels, height, width = x.shape
    rows = (height - window.kernel) // stride + 1
    columns = (width - window.kernel) // stride + 1
    weight = convolution.weight.astype(np.float64)
    weight = weight.reshape(groups, -1, *weight.shape[1:])
    x = x.reshape(images, groups, channels // groups, height, width)
    y = np.zeros((images, groups, weight.shape[1], rows, columns))
    for dy in range(window.kernel):
        for dx in range(window.kernel):
            part = x[..., dy : dy + stride * rows : stride, dx : dx + stride * columns : stride]
            y += np.einsum("ngchw,goc->ngohw", part[..., :rows, :columns], weight[..., dy, dx])
    y = y.reshape(images, -1, rows, columns)
    if convolution.bias is not None:
        y = y + convolution.bias[:, np.newaxis, np.newaxis]
    return np.maximum(y, 0) if convolution.relu else y


def max_pool(window, x):
    before, after, stride = window.padding_before, window.padding_after, window.stride
    frame = ((0, 0), (0, 0), (before, after), (before, after))
    x = np.pad(x, frame, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x, (window.kernel,) * 2, axis=(2, 3))
    return windows[:, :, ::stride, ::stride].max(axis=(-2, -1))


def run_reference(part, x):
    """The definition of each part in float64."""
    x = x.astype(np.float64)
    if isinstance(part, Stem):
        for convolution in part.convolutions:
            x = convolve(convolution, x)
        return x if part.pool is None else max_pool(part.pool, x)
    x = x * part.scale[:, np.newaxis, np.newaxis] + part.shift[:, np.newaxis, np.newaxis]
    if isinstance(part, Head):
        return np.maximum(x, 0).mean(axis=(2, 3)) @ part.weight.T.astype(np.float64) + part.bias
    x = np.maximum(x if part.pool is None else max_pool(part.pool, x), 0)
    images, channels, height, width = x.shape
    x = x.reshape(images, part.shuffle_groups, -1, height, width).swapaxes(1, 2)
    return convolve(part.convolution, x.reshape(images, channels, height, width))


def prepare(part):
    return {
        Stem: library.prepare_stem,
        Transition: library.prepare_transition,
        Head: library.prepare_head,
    }[type(part)](part)


def check(part, x, supported):
    """All implementations give the same bits, close to the reference."""
    expected = run_reference(part, x)
    results = {}
    for name in supported:
        library.select(name)
        results[name] = library.run_part(prepare(part), x)
    for name, result in results.items():
        assert result.shape == expected.shape
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=2e-5, err_msg=name)
        assert result.tobytes() == results["generic"].tobytes(), name


@pytest.mark.parametrize("size", [(32, 32), (29, 70), (9, 13)])
def test_stem(supported, make, size):
    rng = np.random.default_rng(size)
    check(make["stem"](rng, *size), make["floats"](rng, 2, 3, *size), supported)


@pytest.mark.parametrize(
    ("channels", "window", "groups"),
    [
        ((3, 64), Window(3, 1, 1, 1), 1),  # the thumbnail stem
        ((3, 64), Window(7, 2, 3, 3), 1),
        ((3, 8), Window(3, 2, 0, 1), 1),  # padding at the bottom and right only
        ((6, 9), Window(1, 1), 3),
        ((6, 9), Window(1, 2), 3),
        ((5, 7), Window(2, 3, 1, 0), 1),
        ((1, 1), Window(11, 1, 10, 10), 1),
    ],
)
@pytest.mark.parametrize("relu", [False, True])
def test_single_convolutions(supported, make, channels, window, groups, relu):
    rng = np.random.default_rng([*channels, window.kernel])
    convolution = make["convolution"](rng, *channels, window, groups, relu)
    x = make["floats"](rng, 1, channels[0], 17, 20)
    check(Stem(17, 20, [convolution]), x, supported)


@pytest.mark.parametrize("width", [*range(1, 20), 31, 33, 47, 48, 49, 64, 65])
def test_every_row_length(supported, make, width):
    """Tiles end inside, at and behind the vectors of each implementation."""
    rng = np.random.default_rng(width)
    convolution = make["convolution"](rng, 4, 5, Window(3, 1, 1, 1))
    check(Stem(3, width, [convolution]), make["floats"](rng, 1, 4, 3, width), supported)


@pytest.mark.parametrize(
    ("shape", "groups", "shuffle"),
    [
        ((64, 8, 8), 1, 1),
        ((192, 6, 6), 8, 16),
        ((96, 14, 10), 4, 16),
        ((32, 3, 5), 2, 4),
        ((320, 2, 2), 1, 1),
    ],
)
@pytest.mark.parametrize("pool", [None, Window(2, 2), Window(3, 2, 1, 1), Window(2, 1, 0, 1)])
def test_transition(supported, make, shape, groups, shuffle, pool):
    rng = np.random.default_rng([*shape, groups])
    transition = make["transition"](rng, shape, 32, groups, shuffle, pool)
    check(transition, 5 * make["floats"](rng, 2, *shape), supported)


@pytest.mark.parametrize("classes", [1, 10, 63, 64, 65, 200, 1000])
def test_head(supported, make, classes):
    rng = np.random.default_rng(classes)
    head = make["head"](rng, (70, 7, 7), classes)
    check(head, 3 * make["floats"](rng, 2, 70, 7, 7), supported)


def same_bits(part, x, supported):
    """The result that all implementations agree on."""
    results = []
    for name in supported:
        library.select(name)
        results.append(library.run_part(prepare(part), x))
        assert results[0].tobytes() == results[-1].tobytes(), name
    return results[0]


@pytest.mark.parametrize("exponents", [(-80, 60), (-76, -58), (50, 63)])
def test_multiply_adds_round_alike(supported, exponents):
    """Cancelling sums, subnormal ones and infinite ones."""
    rng = np.random.default_rng(13)
    weight = rng.normal(size=(64, 128, 1, 1)) * 2.0 ** rng.integers(*exponents, (64, 128, 1, 1))
    x = rng.normal(size=(1, 128, 4, 4)) * 2.0 ** rng.integers(*exponents, (1, 128, 4, 4))
    x[:, 1::4] = -x[:, ::4]  # some products cancel exactly
    weight[:, 1::4] = weight[:, ::4]
    stem = Stem(4, 4, [Convolution(weight.astype(np.float32), None, Window(1, 1))])
    y = same_bits(stem, x.astype(np.float32), supported)
    if exponents[1] < 0:
        assert np.any((np.abs(y) < np.finfo(np.float32).smallest_normal) & (y != 0))


def test_multiply_adds_round_once(supported):
    """Products next to half a unit of the addend's last place, where rounding twice goes wrong."""
    steps = np.arange(-32, 33, dtype=np.float64)
    weight = (1 + steps * 2.0**-23).astype(np.float32)
    bias = np.repeat(np.array([1, 1 + 2.0**-23, -1, 2.0**-126, 3.0]), 65).astype(np.float32)
    column = np.tile(weight, 5).reshape(-1, 1, 1, 1)
    stem = Stem(1, 1, [Convolution(column, bias, Window(1, 1))])
    for factor in (2.0**-24, -(2.0**-24), 2.0**-25, 2.0**-24 + 2.0**-47, 2.0**-150, 2.0**-149):
        x = np.full((1, 1, 1, 1), factor, np.float32)
        y = same_bits(stem, x, supported)[0, :, 0, 0]
        exact = [Fraction(float(w)) * Fraction(float(x[0, 0, 0, 0])) for w in column[:, 0, 0, 0]]
        for found, product, addend in zip(y, exact, bias, strict=True):
            error = abs(Fraction(float(found)) - (product + Fraction(float(addend))))
            for neighbour in (
                np.nextafter(found, np.float32(-9)),
                np.nextafter(found, np.float32(9)),
            ):
                other = abs(Fraction(float(neighbour)) - (product + Fraction(float(addend))))
                assert error <= other, (float(found), factor)


@pytest.mark.parametrize(
    "window",
    [
        Window(0, 0, -10, -10),
        Window(0, -5, -1000, 7),
        Window(0, 2**31 - 1, 2**31 - 1, 2**31 - 1),
        Window(0, -(2**31), -(2**31), -(2**31)),
    ],
)
def test_without_a_pool_its_other_fields_mean_nothing(implementation, make, window):
    """The same part, workspace and result as with zeros."""
    rng = np.random.default_rng(16)
    stem = dataclasses.replace(make["stem"](rng, 17, 20), pool=None)
    transition = make["transition"](rng, (64, 5, 6), 32, 4, 16, pool=None)
    for part, shape in ((stem, (3, 17, 20)), (transition, (64, 5, 6))):
        expected = prepare(part)
        found = prepare(dataclasses.replace(part, pool=window))
        assert np.array_equal(found, expected)
        assert library.describe_part(found) == library.describe_part(expected)
        x = make["floats"](rng, 1, *shape)
        assert np.array_equal(library.run_part(found, x), library.run_part(expected, x))


def test_relu_of_minus_zero_is_plus_zero(supported):
    convolution = Convolution(np.full((1, 1, 1, 1), -1.0, np.float32), None, Window(1, 1), 1, True)
    for name in supported:
        library.select(name)
        y = library.run_part(prepare(Stem(2, 2, [convolution])), np.zeros((1, 1, 2, 2), np.float32))
        assert y.tobytes() == bytes(16)


def test_part_shapes_and_report(implementation, make):
    rng = np.random.default_rng(14)
    parts = {
        "stem": make["stem"](rng, 32, 32),
        "transition": make["transition"](rng, (64, 8, 8), 32),
        "head": make["head"](rng, (64, 4, 4), 10),
    }
    shapes = {"stem": (24, 4, 4), "transition": (32, 4, 4), "head": (10, 1, 1)}
    for kind, part in parts.items():
        prepared = prepare(part)
        info = library.describe_part(prepared)
        assert (info.kind, info.implementation) == (kind, implementation)
        assert info.output == shapes[kind]
        report = library.report_part(prepared)
        assert all(set(entry) == {"layer", "kernel"} for entry in report)
        if kind == "stem":  # of a 3x3 window by 2, by 1, and a 5x5 one
            kernels = [entry["kernel"] for entry in report]
            assert kernels == ["float_tile", "float_winograd", "float_tile"]


def test_refuses_descriptions(make):
    rng = np.random.default_rng(15)
    stem, head = make["stem"](rng, 32, 32), make["head"](rng, (64, 4, 4), 10)
    transition = make["transition"](rng, (64, 8, 8), 32)
    infinite = np.full(64, np.inf, np.float32)
    wide = make["convolution"](rng, 64, 32, Window(3, 1, 1, 1))
    first = stem.convolutions[0]
    zeros = np.zeros(1 << 16, np.float32)
    many = Convolution(np.zeros((1, 1 << 16, 1, 1), np.float32), None, Window(1, 1))
    huge = f"expected 0..{2**40}, found {2**44}"
    cases = [
        (
            Transition(zeros, zeros, 1 << 14, 1 << 14, None, 1, many),
            f"values before the convolution: {huge}",
        ),
        (dataclasses.replace(stem, height=0), "height: expected 1..16384, found 0"),
        (dataclasses.replace(stem, convolutions=[]), "convolution_count: expected 1..8, found 0"),
        (dataclasses.replace(stem, convolutions=[first] * 2), "expected 16 channels in, found 3"),
        (dataclasses.replace(stem, height=2, width=2), "the window of 5 does not fit"),
        (
            dataclasses.replace(stem, convolutions=[dataclasses.replace(first, groups=3)]),
            "expected groups that divide 9 and 16 channels, found 3",
        ),
        (
            dataclasses.replace(stem, convolutions=[make["convolution"](rng, 3, 4, Window(3, 0))]),
            "found kernel 3, stride 0",
        ),
        (dataclasses.replace(stem, pool=Window(2, 2, 2, 0)), "padding 0..kernel - 1"),
        (dataclasses.replace(transition, scale=infinite), "expected finite values, found inf at 0"),
        (dataclasses.replace(transition, shuffle_groups=7), "that divide 64 channels, found 7"),
        (dataclasses.replace(transition, convolution=wide), "kernel 1 and stride 1, found 3 and 1"),
        (dataclasses.replace(head, shift=infinite), "expected finite values, found inf at 0"),
        (dataclasses.replace(head, height=-1), "height: expected 1..16384, found -1"),
    ]
    for part, message in cases:
        with pytest.raises(ValueError, match="bnn_") as caught:
            prepare(part)
        assert message in str(caught.value)
