"""Stems by Winograd's F(4, 3): the bits of the order that bnn.h defines, as exact as plain sums."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime import read_bundle
from runtime.engines.self_test import make_inputs, read_stored_answers
from runtime.kernels import library
from runtime.kernels.parts import Convolution, Floats, Stem, Window
from runtime.plan import StemStep

BUNDLE = Path(__file__).resolve().parents[3] / "service" / "bundles" / "default"
POOLS = (None, Window(3, 2, 1, 1), Window(3, 2, 1, 0), Window(2, 2), Window(3, 2, 1, 2))
#: (channels in, out, stride, groups) of the 3x3 convolutions of models.networks.meliusnet.make_stem
STEMS = {
    "grouped": ((3, 32, 2, 1), (32, 32, 1, 4), (32, 64, 1, 8)),
    "small": ((3, 32, 1, 1), (32, 64, 2, 1)),
    "thumbnail": ((3, 64, 1, 1),),
}
EXCESS = 1.25  # times the error of plain float32 sums


def fused(a: Floats, b: Floats, c: Floats) -> Floats:
    """a * b + c rounded once: the product is exact in float64, the sum is rounded to odd there."""
    product, addend = a.astype(np.float64) * b, np.float64(c)
    total = product + addend
    part = total - product
    lost = (product - (total - part)) + (addend - part)
    bits = total.view(np.int64)
    away = np.where((lost > 0) == (total > 0), 1, -1)
    odd = np.where((lost != 0) & (bits % 2 == 0), bits + away, bits)
    return odd.view(np.float64).astype(np.float32)


def number(value: float) -> Floats:
    return np.full(1, value, np.float32)


def pad(convolution: Convolution, x: Floats, rows: int) -> Floats:
    """Padded x [c, h, w] -> [groups, c, h, w] with `rows` rows of zeros below."""
    before, after = convolution.window.padding_before, convolution.window.padding_after
    x = np.pad(x, ((0, 0), (before, after + rows), (before, after)))
    return x.reshape(convolution.groups, -1, *x.shape[1:])


def finish(convolution: Convolution, y: Floats) -> Floats:
    """[groups, outputs, h, w] -> [outputs of all, h, w]."""
    y = y.reshape(-1, *y.shape[2:])
    return np.where(y > 0, y, np.float32(0)) if convolution.relu else y


def start(convolution: Convolution, shape: tuple[int, ...]) -> Floats:
    """Sums [groups, outputs, h, w] that begin with the bias."""
    sums = np.zeros(shape, np.float32)
    if convolution.bias is not None:
        sums += convolution.bias.reshape(*shape[:2], 1, 1)
    return sums


def convolve_in_order(convolution: Convolution, x: Floats) -> Floats:
    """What bnn.h says of a 3x3 convolution of stride 1: x [c, h, w] -> float32 [outputs, h, w]."""
    groups = convolution.groups
    d = pad(convolution, x, 3)
    height, width = d.shape[2] - 5, d.shape[3] - 2
    tiles = -(-height // 4)
    d0, d1, d2, d3, d4, d5 = (d[:, :, k : k + 4 * tiles : 4] for k in range(6))
    a, b = fused(number(-9 / 4), d2, d4), fused(number(-9 / 4), d1, d3)
    c, e = fused(number(-9 / 16), d2, d4), fused(number(-9 / 16), d1, d3)
    v = (
        fused(number(81 / 64), d0, fused(number(-45 / 16), d2, d4)),
        *(fused(number(3 / 4), b, a), fused(number(-3 / 4), b, a)),
        *(fused(number(3 / 2), e, c), fused(number(-3 / 2), e, c)),
        fused(number(81 / 64), d1, fused(number(-45 / 16), d3, d5)),
    )
    weight = convolution.weight.astype(np.float64)
    weight = weight.reshape(groups, -1, *weight.shape[1:])  # [groups, outputs, channels, 3, 3]
    g0, g1, g2 = (weight[:, :, :, row] for row in range(3))
    near, far = g0 + 9 / 16 * g2, g0 + 9 / 4 * g2
    u = (
        g0 / (81 / 64),
        *((near + 3 / 4 * g1) / -(243 / 128), (near - 3 / 4 * g1) / -(243 / 128)),
        *((far + 3 / 2 * g1) / (243 / 32), (far - 3 / 2 * g1) / (243 / 32)),
        g2,
    )
    shape = (groups, weight.shape[1], tiles, width)
    bias = start(convolution, shape)
    m = [bias if t in (0, 5) else np.zeros_like(bias) for t in range(6)]
    for t in range(6):
        factors = u[t].astype(np.float32)
        for channel in range(weight.shape[2]):
            for column in range(3):
                factor = factors[:, :, channel, column, np.newaxis, np.newaxis]
                part = v[t][:, np.newaxis, channel, :, column : column + width]
                m[t] = fused(factor, part, m[t])
    p, q, r, s = m[1] + m[2], m[3] + m[4], m[1] - m[2], m[3] - m[4]
    y = np.stack(
        (
            (m[0] + p) + q,
            fused(number(3 / 2), s, fused(number(3 / 4), r, bias)),
            fused(number(9 / 4), q, fused(number(9 / 16), p, bias)),
            fused(number(27 / 8), s, fused(number(27 / 64), r, m[5])),
        ),
        axis=3,
    )
    y = y.reshape(*shape[:2], 4 * tiles, width)[:, :, :height]
    return finish(convolution, y)


def convolve_plainly(convolution: Convolution, x: Floats, kind: type) -> NDArray[np.floating]:
    """Any convolution as sums of fused products in order: [c, h, w] -> [outputs, h, w] of `kind`,
    float32 or float64 (there with two roundings, which are far below those of float32).
    """
    groups, window = convolution.groups, convolution.window
    d = pad(convolution, x, 0).astype(kind)
    rows, columns = ((side - window.kernel) // window.stride + 1 for side in d.shape[2:])
    weight = convolution.weight.astype(kind)
    weight = weight.reshape(groups, -1, *weight.shape[1:])
    sums = start(convolution, (groups, weight.shape[1], rows, columns)).astype(kind)
    for channel in range(weight.shape[2]):
        for dy in range(window.kernel):
            for dx in range(window.kernel):
                down = slice(dy, dy + window.stride * (rows - 1) + 1, window.stride)
                right = slice(dx, dx + window.stride * (columns - 1) + 1, window.stride)
                factor = weight[:, :, channel, dy, dx, np.newaxis, np.newaxis]
                part = d[:, np.newaxis, channel, down, right]
                sums = fused(factor, part, sums) if kind is np.float32 else factor * part + sums
    return finish(convolution, sums)


def max_pool(window: Window | None, x: NDArray[np.floating]) -> NDArray[np.floating]:
    """The definition: [c, h, w] -> [c, h, w]."""
    if window is None:
        return x
    around = (window.padding_before, window.padding_after)
    x = np.pad(x, ((0, 0), around, around), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x, (window.kernel,) * 2, axis=(1, 2))
    return windows[:, :: window.stride, :: window.stride].max(axis=(-2, -1))


def run_everywhere(stem: Stem, x: Floats) -> Floats:
    """The output of all implementations that run here, which is the same."""
    outputs = []
    try:
        for entry in library.implementations():
            if entry.supported:
                library.select(entry.name)
                outputs.append(library.run_part(library.prepare_stem(stem), x[np.newaxis])[0])
                assert outputs[0].tobytes() == outputs[-1].tobytes(), entry.name
    finally:
        library.select(None)
    return outputs[0]


@st.composite
def stems(draw: st.DrawFn) -> tuple[Stem, Floats]:
    """One convolution or two of any shape that goes by Winograd, any pool, and an image."""
    height, width = draw(st.integers(3, 15)), draw(st.integers(3, 70))
    groups, each = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    outs = [groups * draw(st.integers(1, 9)) for _ in range(draw(st.integers(1, 2)))]
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    channels, convolutions = groups * each, []
    for out in outs:
        window = Window(3, 1, draw(st.integers(0, 2)) if out == outs[0] else 1, 1)
        weight = random.normal(size=(out, channels // groups, 3, 3)) / (3 * each**0.5)
        bias = random.normal(size=out).astype(np.float32) if draw(st.booleans()) else None
        convolutions.append(
            Convolution(weight.astype(np.float32), bias, window, groups, draw(st.booleans()))
        )
        channels = out
    x = random.normal(size=(groups * each, height, width)).astype(np.float32)
    pool = draw(st.sampled_from(POOLS))
    small = min(height, width) < 5  # a window without padding makes the map as small as a pool's
    return Stem(height, width, convolutions, None if small else pool), x


@given(stems())
@settings(max_examples=120, deadline=None)
def test_all_implementations_give_the_bits_of_the_order(case: tuple[Stem, Floats]) -> None:
    stem, x = case
    expected, exact = x, x.astype(np.float64)
    for convolution in stem.convolutions:
        expected = convolve_in_order(convolution, expected)
        exact = convolve_plainly(convolution, exact, np.float64)
    found = run_everywhere(stem, x)
    assert found.tobytes() == max_pool(stem.pool, expected).tobytes()
    np.testing.assert_allclose(found, max_pool(stem.pool, exact), rtol=1e-5, atol=2e-5)


def test_plain_order_is_what_other_convolutions_have(make) -> None:
    """Stride 2 stays as it was, and this file's plain sums are the kernels' own."""
    random = np.random.default_rng(1)
    convolution = make["convolution"](random, 6, 10, Window(3, 2, 1, 1), 2, True)
    x = make["floats"](random, 6, 13, 20)
    found = run_everywhere(Stem(13, 20, [convolution]), x)
    assert found.tobytes() == convolve_plainly(convolution, x, np.float32).tobytes()


def random_stem(make, name: str, side: int) -> Stem:
    """A stem of a network with random weights, for images of that side."""
    random = np.random.default_rng(3)
    convolutions = [
        make["convolution"](random, into, out, Window(3, stride, 1, 1), groups, True)
        for into, out, stride, groups in STEMS[name]
    ]
    return Stem(side, side, convolutions, Window(3, 2, 1, 1) if name == "grouped" else None)


def trained_stem() -> tuple[Stem, Floats]:
    """The stem of the default model, and an image for it."""
    bundle = read_bundle(BUNDLE)
    step, tensors = bundle.manifest.plan[0], bundle.tensors()
    assert isinstance(step, StemStep)
    convolutions = [
        Convolution(
            *(tensors[f"{step.name}.conv{i}.{name}"] for name in ("weight", "bias")),
            *(layer.window, layer.groups, layer.relu),
        )
        for i, layer in enumerate(step.convolutions)
    ]
    stored = read_stored_answers(bundle)
    assert stored is not None
    images = make_inputs(stored.images[:1], bundle.manifest)
    return Stem(*step.input[1:], convolutions, step.pool), images[0]


def measure_errors(stem: Stem, x: Floats) -> tuple[float, float]:
    """Root mean square distances from float64: of the kernels, and of plain float32 sums."""
    exact, plain = x.astype(np.float64), x
    for convolution in stem.convolutions:
        exact = convolve_plainly(convolution, exact, np.float64)
        plain = convolve_plainly(convolution, plain, np.float32)
    exact, plain = max_pool(stem.pool, exact), max_pool(stem.pool, plain)
    own, other = (
        float(np.sqrt(np.mean((y - exact) ** 2))) for y in (run_everywhere(stem, x), plain)
    )
    return own, other


def test_error_of_the_trained_stem_is_that_of_plain_float32() -> None:
    own, plain = measure_errors(*trained_stem())
    assert 0 < own <= EXCESS * plain


@pytest.mark.parametrize(
    ("name", "side"), [("grouped", 64), ("grouped", 50), ("small", 33), ("thumbnail", 32)]
)
def test_error_of_random_weights_is_within_one_bit_of_plain_float32(
    make, name: str, side: int
) -> None:
    """Of noise: neighbouring rows have nothing in common, their differences are large."""
    x = np.random.default_rng(5).normal(size=(3, side, side)).astype(np.float32)
    own, plain = measure_errors(random_stem(make, name, side), x)
    assert 0 < own <= 2 * plain
