"""runtime.image_files.rgb: every mode becomes RGB, transparent pixels white, piece by piece."""

import numpy as np
import pytest
from PIL import Image

from runtime.image_files import rgb
from runtime.image_files.rgb import (
    convert_deep_grey,
    convert_to_rgb,
    measure_pieces,
    split_into_boxes,
)
from tests.runtime.images import make_photo


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV"])
def test_opaque_modes_become_their_colours(mode: str) -> None:
    image = make_photo().convert(mode)
    assert np.array_equal(np.asarray(convert_to_rgb(image)), np.asarray(image.convert("RGB")))


def test_opaque_rgb_is_left_as_it_is() -> None:
    image = make_photo()
    assert convert_to_rgb(image) is image


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparent_pixels_become_white_by_their_share(mode: str) -> None:
    image = Image.new("LA" if mode == "LA" else "RGBA", (3, 1))
    for x, alpha in enumerate((0, 128, 255)):
        image.putpixel((x, 0), (0, alpha) if mode == "LA" else (0, 0, 0, alpha))
    converted = image.convert("PA") if mode == "PA" else image
    assert np.asarray(convert_to_rgb(converted))[0, :, 0].tolist() == [255, 127, 0]


def test_a_colour_may_be_transparent() -> None:
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.info["transparency"] = (1, 2, 3)
    image.putpixel((1, 0), (1, 2, 4))
    assert np.asarray(convert_to_rgb(image)).tolist() == [[[255, 255, 255], [1, 2, 4]]]


@pytest.mark.parametrize("size", [(1, 1), (700, 900), (1, 600_000), (600_000, 1), (262_144, 3)])
def test_boxes_cover_every_pixel_once(size: tuple[int, int]) -> None:
    counts = np.zeros(size[::-1], np.uint8)
    for left, top, right, bottom in split_into_boxes(size):
        assert (right - left) * (bottom - top) <= 2**18
        counts[top:bottom, left:right] += 1
    assert (counts == 1).all()


def test_pieces_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    image = make_photo().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    levels = np.arange(83 * 61, dtype=np.uint16).reshape(61, 83) * 13
    deep = Image.fromarray(levels)
    whole = np.asarray(convert_to_rgb(image)), np.asarray(convert_deep_grey(deep))
    assert np.array_equal(whole[1], levels >> 8)
    monkeypatch.setattr(rgb, "_PIECE_PIXELS", 100)
    pieces = np.asarray(convert_to_rgb(image)), np.asarray(convert_deep_grey(deep))
    assert all(map(np.array_equal, whole, pieces))


def test_pieces_take_a_bounded_share() -> None:
    assert measure_pieces(10) < measure_pieces(10**6) == measure_pieces(10**8) <= 2**23
