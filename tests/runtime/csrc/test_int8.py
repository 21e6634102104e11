"""8-bit layers: levels as defined, exact sums, the same bits from every implementation."""

import dataclasses

import numpy as np
import pytest

from runtime.kernels import library
from runtime.kernels.parts import Convolution, Head, Int8, Stem, Transition, Window


def random_int8(rng, layer, inverse_step=60.0):
    """A convolution or head with 8-bit weights in the place of its float ones."""
    weight = rng.integers(-127, 128, layer.weight.shape).astype(np.int8)
    weight.flat[::5] = 127  # sums that would saturate 16 bits
    scale = rng.uniform(1e-4, 1e-3, weight.shape[0]).astype(np.float32)
    return dataclasses.replace(layer, weight=weight, int8=Int8(scale, inverse_step))


def prepare(part):
    return {
        Stem: library.prepare_stem,
        Transition: library.prepare_transition,
        Head: library.prepare_head,
    }[type(part)](part)


def run_all(part, x, supported):
    """The result that all implementations agree on, bit for bit."""
    results = []
    for name in supported:
        library.select(name)
        results.append(library.run_part(prepare(part), x))
        assert results[0].tobytes() == results[-1].tobytes(), name
    return results[0]


def levels_of(x, inverse_step):
    """Half to even; NaN is 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.float32(inverse_step) * x.astype(np.float32)
    return np.rint(np.clip(np.nan_to_num(scaled, nan=0.0), 0, 255)).astype(np.int64)


def identity(channels):
    """A float convolution that hands its input on, for what may not come first in a stem."""
    weight = np.eye(channels, dtype=np.float32).reshape(channels, channels, 1, 1)
    return Convolution(weight, None, Window(1, 1))


def convolve_levels(convolution, x):
    """An 8-bit convolution of x [n, c, h, w] in integers, its result in float64."""
    window, groups, weight = convolution.window, convolution.groups, convolution.weight
    before, after, stride = window.padding_before, window.padding_after, window.stride
    levels = levels_of(x, convolution.int8.inverse_step)
    levels = np.pad(levels, ((0, 0), (0, 0), (before, after), (before, after)))
    windows = np.lib.stride_tricks.sliding_window_view(levels, (window.kernel,) * 2, axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]  # [n, c, rows, columns, k, k]
    images, channels, rows, columns = windows.shape[:4]
    windows = windows.reshape(
        images, groups, channels // groups, rows, columns, *[window.kernel] * 2
    )
    grouped = weight.astype(np.int64).reshape(groups, -1, *weight.shape[1:])
    sums = np.einsum("ngcrsyx,gocyx->ngors", windows, grouped)
    sums = sums.reshape(images, -1, rows, columns).astype(np.float32).astype(np.float64)
    y = sums * convolution.int8.scale[:, np.newaxis, np.newaxis]
    if convolution.bias is not None:
        y += convolution.bias[:, np.newaxis, np.newaxis]
    return np.maximum(y, 0) if convolution.relu else y


def test_levels_of_every_kind_of_value(supported):
    """With weight and scale 1 the output is the level."""
    step = 4.0
    values = [*np.arange(-2, 260) / 8, 63.75, 63.875, 63.9, 64.0, 1e30, -1e30, -0.0, 1e-42]
    values += [np.nan, np.inf, -np.inf]
    x = np.array(values, np.float32).reshape(1, 1, 1, -1)
    one = Int8(np.ones(1, np.float32), step)
    layer = Convolution(np.ones((1, 1, 1, 1), np.int8), None, Window(1, 1), int8=one)
    y = run_all(Stem(1, x.shape[-1], [identity(1), layer]), x, supported)
    assert np.array_equal(y, levels_of(x, step).astype(np.float32))
    assert y.max() == 255
    assert list(y[0, 0, 0, :5]) == [0, 0, 0, 0, 1]  # -0.25, -0.125, 0, 0.125, 0.25


@pytest.mark.parametrize("channels", [1, 3, 4, 64, 1856])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_sums_are_exact(supported, channels, sign):
    """Bytes of 255 times 127: pairs saturate 16 bits, sums pass what float32 holds exactly."""
    weight = np.full((5, channels, 1, 1), sign * 127, np.int8)
    weight[1:, -1] = [[[-sign]], [[1]], [[0]], [[2]]]
    layer = Convolution(
        weight, None, Window(1, 1), int8=Int8(np.ones(5, np.float32), np.float32(1000))
    )
    x = np.ones((1, channels, 3, 11), np.float32)
    found = run_all(Stem(3, 11, [identity(channels), layer]), x, supported)
    sums = 255 * weight.astype(np.int64).sum(axis=(1, 2, 3))
    assert np.array_equal(found[0, :, 1, 5], sums.astype(np.float32))


@pytest.mark.parametrize(
    ("channels", "window", "groups"),
    [
        ((32, 32), Window(3, 1, 1, 1), 4),  # of the grouped stem
        ((32, 64), Window(3, 1, 1, 1), 8),
        ((32, 64), Window(3, 2, 1, 1), 1),  # of the small stem
        ((6, 9), Window(1, 1), 3),
        ((5, 7), Window(2, 3, 1, 0), 1),
        ((9, 12), Window(5, 2, 0, 3), 3),
        ((4, 1), Window(11, 1, 10, 10), 1),
    ],
)
@pytest.mark.parametrize("relu", [False, True])
def test_convolutions_equal_integers(supported, make, channels, window, groups, relu):
    rng = np.random.default_rng([*channels, window.kernel])
    layer = random_int8(rng, make["convolution"](rng, *channels, window, groups, relu))
    x = 2 * make["floats"](rng, 2, channels[0], 17, 20)
    found = run_all(Stem(17, 20, [identity(channels[0]), layer]), x, supported)
    np.testing.assert_allclose(found, convolve_levels(layer, x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("width", [*range(1, 20), 31, 33, 47, 48, 49, 64, 65])
def test_every_row_length(supported, make, width):
    """Tiles and quads end inside, at and behind the vectors of each implementation."""
    rng = np.random.default_rng(width)
    layer = random_int8(rng, make["convolution"](rng, 6, 5, Window(3, 1, 1, 1)))
    x = 2 * make["floats"](rng, 1, 6, 3, width)
    found = run_all(Stem(3, width, [identity(6), layer]), x, supported)
    np.testing.assert_allclose(found, convolve_levels(layer, x), rtol=1e-6, atol=1e-6)


def test_a_whole_stem(supported, make):
    """8-bit behind float, 8-bit behind 8-bit, float behind 8-bit, and the pool."""
    rng = np.random.default_rng(5)
    stem = make["stem"](rng, 29, 70)
    first, second, third = stem.convolutions
    for steps in (
        [first, random_int8(rng, second), third],
        [first, second, random_int8(rng, third)],
        [first, random_int8(rng, second), random_int8(rng, third)],
    ):
        x = make["floats"](rng, 2, 3, 29, 70)
        assert run_all(dataclasses.replace(stem, convolutions=steps), x, supported).std() > 0


@pytest.mark.parametrize(
    ("shape", "groups", "shuffle"),
    [((64, 8, 8), 1, 1), ((192, 6, 6), 8, 16), ((96, 14, 10), 4, 16), ((30, 13, 15), 2, 3)],
)
@pytest.mark.parametrize("pool", [None, Window(2, 2), Window(3, 2, 1, 1)])
def test_transitions_equal_integers(supported, make, shape, groups, shuffle, pool):
    rng = np.random.default_rng([*shape, groups])
    transition = make["transition"](rng, shape, 32, groups, shuffle, pool)
    layer = random_int8(rng, transition.convolution)
    x = make["floats"](rng, 2, *shape)
    found = run_all(dataclasses.replace(transition, convolution=layer), x, supported)
    # What the convolution reads is what a float one hands on, channel by channel.
    through = dataclasses.replace(transition, convolution=identity(shape[0]))
    read = run_all(through, x, supported)
    np.testing.assert_allclose(found, convolve_levels(layer, read), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("classes", [1, 10, 63, 64, 65, 200, 1000])
@pytest.mark.parametrize("channels", [64, 70])
def test_heads_equal_integers(supported, make, classes, channels):
    rng = np.random.default_rng(classes)
    head = make["head"](rng, (channels, 7, 7), classes)
    layer = random_int8(rng, head)
    x = 3 * make["floats"](rng, 2, channels, 7, 7)
    found = run_all(layer, x, supported)
    eye = np.eye(channels, dtype=np.float32)
    means = run_all(
        dataclasses.replace(head, weight=eye, bias=np.zeros(channels, np.float32)), x, supported
    )
    sums = levels_of(means, layer.int8.inverse_step) @ layer.weight.T.astype(np.int64)
    expected = sums.astype(np.float64) * layer.int8.scale + layer.bias
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_reports_name_the_arithmetic(implementation, make):
    rng = np.random.default_rng(7)
    stem = make["stem"](rng, 32, 32)
    first, second, third = stem.convolutions
    mixed = dataclasses.replace(stem, convolutions=[first, random_int8(rng, second), third])
    transition = make["transition"](rng, (64, 8, 8), 32)
    head = make["head"](rng, (64, 4, 4), 10)
    layer = random_int8(rng, transition.convolution)
    kernels = [
        [entry["kernel"] for entry in library.report_part(prepare(part))]
        for part in (
            mixed,
            dataclasses.replace(transition, convolution=layer),
            random_int8(rng, head),
        )
    ]
    assert kernels == [["float_tile", "int8_tile", "float_tile"], ["int8_tile"], ["int8_dense"]]


def test_the_workspace_may_hold_anything(implementation, make):
    rng = np.random.default_rng(8)
    transition = make["transition"](rng, (30, 9, 11), 32, 2, 3)
    layer = random_int8(rng, transition.convolution)
    part = prepare(dataclasses.replace(transition, convolution=layer))
    x = make["floats"](rng, 1, 30, 9, 11)
    results = []
    for value in (0, 255):
        workspace = library.allocate(library.describe_part(part).workspace_bytes)
        workspace[:] = value
        results.append(library.run_part(part, x, workspace))
    assert np.array_equal(*results)


def test_refuses_descriptions(make):
    rng = np.random.default_rng(9)
    stem, head = make["stem"](rng, 32, 32), make["head"](rng, (64, 4, 4), 10)
    first, second = stem.convolutions[:2]
    layer = random_int8(rng, second)
    lowest = np.full_like(layer.weight, -128)
    scale = layer.int8.scale
    zeros = np.zeros_like(scale)
    many = Convolution(
        np.zeros((1, 1 << 14, 3, 3), np.int8), None, Window(3, 1, 1, 1), int8=Int8(scale[:1], 1.0)
    )
    wide = Convolution(np.zeros((1 << 14, 3, 1, 1), np.float32), None, Window(1, 1))
    cases = [
        ([random_int8(rng, first)], "convolution 0: expected float arithmetic, found 8-bit"),
        ([first, dataclasses.replace(layer, weight=lowest)], "-127..127, found -128 at 0"),
        ([first, dataclasses.replace(layer, int8=Int8(zeros, 1.0))], "positive values, found 0 at"),
        ([first, dataclasses.replace(layer, int8=Int8(-scale, 1.0))], "expected positive values"),
        ([first, dataclasses.replace(layer, int8=Int8(scale, 0.0))], "positive values, found 0"),
        ([first, dataclasses.replace(layer, int8=Int8(scale, np.inf))], "finite values, found inf"),
        ([wide, many], "at most 65536 8-bit weights an output, found 147456"),
    ]
    for steps, message in cases:
        with pytest.raises(ValueError, match="bnn_stem") as caught:
            prepare(dataclasses.replace(stem, convolutions=steps))
        assert message in str(caught.value)
    with pytest.raises(ValueError, match="bnn_head: 8-bit: expected positive values"):
        prepare(dataclasses.replace(random_int8(rng, head), int8=Int8(zeros[:1].repeat(10), 1.0)))
    with pytest.raises(ValueError, match="weight: expected a contiguous int8 array"):
        prepare(dataclasses.replace(head, int8=Int8(zeros, 1.0)))
