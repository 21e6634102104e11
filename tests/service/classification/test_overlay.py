"""service.classification.overlay: colours in order, the map where it belongs, a bounded amount
of memory.
"""

import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from service.classification.overlay import (
    BYTES_PER_PIXEL,
    draw_overlay,
    encode_png,
    tabulate_colours,
)

GREY = np.full((40, 40, 3), 128, np.uint8)
TO_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def measure_lightness(colours: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB colours."""
    values = colours / 255
    linear = np.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92)
    lightness: np.ndarray = 116 * np.cbrt(linear @ TO_LUMINANCE) - 16
    return lightness


def test_lightness_rises_evenly() -> None:
    lightness = measure_lightness(tabulate_colours())
    assert lightness[0] < 20
    assert lightness[-1] > 85
    assert (np.diff(lightness[::8]) > 0).all()
    even = np.linspace(lightness[0], lightness[-1], 256)
    assert np.abs(lightness - even).max() < 6


def test_the_peak_is_bright_where_it_is() -> None:
    activation = np.zeros((4, 4), np.float32)
    activation[0, 3] = 2.5
    lightness = measure_lightness(draw_overlay(GREY, activation).astype(float))
    row, column = np.unravel_index(lightness.argmax(), lightness.shape)
    assert row < 10
    assert column >= 30
    assert lightness[30, 5] < lightness.max() - 30


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_what_speaks_for_nothing_has_the_darkest_colour_all_over(value: float) -> None:
    drawn = draw_overlay(GREY, np.full((5, 5), value, np.float32))
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) == 1
    assert measure_lightness(drawn[0, 0].astype(float)) < 50


def test_the_photo_is_seen_below() -> None:
    half = GREY.copy()
    half[:, 20:] = 250
    drawn = draw_overlay(half, np.ones((2, 2), np.float32)).astype(int)
    assert (drawn[:, 30] - drawn[:, 10] > 40).all()


@given(
    activation=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.floats(-(2.0**100), 2.0**100, width=32),
    ),
    size=st.tuples(st.integers(1, 50), st.integers(1, 50)),
)
def test_any_map_fits_any_image(activation: np.ndarray, size: tuple[int, int]) -> None:
    pixels = np.zeros((*size, 3), np.uint8)
    drawn = draw_overlay(pixels, activation)
    assert (drawn.shape, drawn.dtype) == (pixels.shape, np.uint8)


def test_takes_so_much_memory_at_most(rng: np.random.Generator) -> None:
    side = 512
    pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    activation = rng.standard_normal((5, 5)).astype(np.float32)
    draw_overlay(pixels[:8, :8], activation)
    tracemalloc.start()
    try:
        png = encode_png(draw_overlay(pixels, activation))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < BYTES_PER_PIXEL * side * side
    assert Image.open(io.BytesIO(png)).size == (side, side)
