"""runtime.images: exact geometry and numbers, settings that check themselves."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from runtime import (
    InvalidImage,
    Preprocessing,
    normalise,
    preprocess,
    resize_and_crop,
    restore_pixels,
)
from runtime.errors import InvalidManifest
from runtime.image_files.exif import TRANSPOSITIONS
from runtime.images import _map_to_stored, crop_reduced
from tests.runtime.images import make_noise, make_photo

SPEC = Preprocessing(36, 32, "bilinear", (123.0, 116.0, 103.0), (58.0, 57.0, 57.0))


# ---- numbers and geometry


def test_normalises_each_channel_on_the_scale_0_to_255() -> None:
    image = Image.new("RGB", (40, 50), (200, 116, 3))
    tensor = preprocess(image, SPEC)
    assert tensor.dtype == np.float32
    assert tensor.shape == (3, 32, 32)
    assert tensor.flags.c_contiguous
    expected = (np.float32([200, 116, 3]) - np.float32(SPEC.mean)) / np.float32(SPEC.std)
    assert np.array_equal(tensor[:, 5, 7], expected)


@pytest.mark.parametrize("size", [(83, 61), (61, 83), (36, 36), (37, 36), (20, 31), (1, 1), (9, 2)])
@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("bilinear", Image.Resampling.BILINEAR),
        ("bicubic", Image.Resampling.BICUBIC),
        ("area", Image.Resampling.BOX),
    ],
)
def test_equals_resize_of_the_shorter_side_then_centre_crop(
    size: tuple[int, int], name: str, kernel: Image.Resampling
) -> None:
    spec = Preprocessing(36, 32, name, (0, 0, 0), (1, 1, 1))
    image = make_photo(*size)
    short, long = min(size), max(size)
    width, height = (36 if side == short else int(36 * long / short) for side in size)
    left, top = round((width - 32) / 2), round((height - 32) / 2)
    whole = np.asarray(image.resize((width, height), kernel), dtype=np.float32)
    expected = whole[top : top + 32, left : left + 32].transpose(2, 0, 1)
    assert np.array_equal(preprocess(image, spec), expected)


def test_golden_tensor() -> None:
    """Changes only with the definition of the preprocessing: trained networks depend on it."""
    pixels = np.asarray(resize_and_crop(make_photo(), SPEC)).astype(int)
    assert pixels[0, 0].tolist() == [43, 15, 26]
    assert pixels[31, 31].tolist() == [208, 235, 224]
    assert pixels[16, 8].tolist() == [86, 129, 111]


def test_shrinking_averages_instead_of_picking_pixels() -> None:
    stripes = np.zeros((320, 320, 3), np.uint8)
    stripes[:, ::2] = 255
    for name in ("bilinear", "bicubic", "area"):
        spec = Preprocessing(32, 32, name, (0, 0, 0), (1, 1, 1))
        assert np.abs(preprocess(Image.fromarray(stripes), spec) - 127.5).max() < 16


@pytest.mark.parametrize("size", [(1, 3_000_000), (3_000_000, 1), (700, 40), (40, 700)])
@pytest.mark.parametrize("name", ["bilinear", "bicubic", "area"])
def test_extreme_shapes_need_no_memory_for_the_resized_long_side(
    size: tuple[int, int], name: str
) -> None:
    spec = Preprocessing(256, 224, name, (0, 0, 0), (1, 1, 1))
    image = Image.new("RGB", size, (10, 200, 30))
    assert np.array_equal(np.unique(preprocess(image, spec)), [10, 30, 200])


def test_extreme_shapes_show_the_same_window_as_others() -> None:
    image = make_photo(1000, 50)
    whole = np.asarray(image.resize((720, 36), Image.Resampling.BILINEAR)).astype(int)
    window = np.asarray(resize_and_crop(image, SPEC)).astype(int)
    assert np.abs(window - whole[2:34, 344:376]).max() <= 1


@pytest.mark.parametrize("image", [Image.new("L", (9, 9)), Image.new("RGB", (0, 9))])
def test_preprocess_refuses_what_is_no_rgb_image(image: Image.Image) -> None:
    with pytest.raises(InvalidImage, match="expected an RGB image"):
        preprocess(image, SPEC)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"resize": 0}, "resize"),
        ({"resize": 36.0}, "resize"),
        ({"resize": True}, "resize"),
        ({"resize": 10**6}, "resize"),
        ({"crop": 37}, "crop"),
        ({"crop": "32"}, "crop"),
        ({"interpolation": "nearest"}, "bilinear, bicubic, area"),
        ({"mean": (1.0, 2.0)}, "mean"),
        ({"mean": "abc"}, "mean"),
        ({"mean": (1.0, 2.0, True)}, "mean"),
        ({"std": (1.0, 0.0, 1.0)}, "std"),
        ({"std": (1.0, float("nan"), 1.0)}, "std"),
        ({"mean": (1.0, 2.0, float("inf"))}, "mean"),
        ({"mean": (1.0, 2.0, 1e30)}, "mean"),  # logits without a finite value
        ({"std": (1.0, 1e-30, 1.0)}, "std"),
    ],
)
def test_preprocessing_validates_itself(changes: dict[str, Any], text: str) -> None:
    values = {"resize": 36, "crop": 32, "interpolation": "area"}
    values |= {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    with pytest.raises(InvalidManifest, match=text):
        Preprocessing(**{**values, **changes})


def test_preprocessing_takes_json_lists() -> None:
    spec = Preprocessing(8, 8, "area", [1, 2, 3], [4, 5, 6])  # type: ignore[arg-type]
    assert spec.mean == (1.0, 2.0, 3.0)
    assert hash(spec) == hash(Preprocessing(8, 8, "area", (1, 2, 3), (4, 5, 6)))


# ---- the reduced crop


@pytest.mark.parametrize("value", [0, 0.99, 16.5, float("nan"), float("inf"), "2", True, [2]])
def test_reduce_out_of_range_is_refused(value: Any) -> None:
    with pytest.raises(InvalidManifest, match=r"preprocessing\.reduce"):
        replace(SPEC, reduce=value)


def test_reduce_leaves_so_many_pixels_and_older_names_alone() -> None:
    assert SPEC.least_side == 36
    assert replace(SPEC, reduce=1).least_side == 36
    assert replace(SPEC, reduce=1.51).least_side == 55
    assert repr(replace(SPEC, reduce=2)) == repr(SPEC)
    assert replace(SPEC, reduce=2) != SPEC


@given(
    width=st.integers(1, 40), height=st.integers(1, 40), orientation=st.integers(1, 8),
    edges=st.lists(st.floats(0, 1), min_size=4, max_size=4),
)  # fmt: skip
def test_box_of_the_upright_image_is_the_same_pixels_of_the_stored_one(
    width: int, height: int, orientation: int, edges: list[float]
) -> None:
    stored = make_noise(width, height, seed=width * 41 + height)
    turn = TRANSPOSITIONS.get(orientation)
    upright = stored if turn is None else stored.transpose(turn)
    left, right = sorted(int(edge * upright.width) for edge in edges[:2])
    top, bottom = sorted(int(edge * upright.height) for edge in edges[2:])
    box = _map_to_stored((left, top, right, bottom), stored.size, orientation)
    piece = stored.crop(tuple(int(edge) for edge in box))
    piece = piece if turn is None else piece.transpose(turn)
    assert piece.tobytes() == upright.crop((left, top, right, bottom)).tobytes()


@pytest.mark.parametrize("size", [(83, 61), (61, 83), (36, 36), (640, 360), (20, 31), (1, 1)])
@pytest.mark.parametrize("name", ["bilinear", "bicubic", "area"])
def test_reduced_crop_at_full_size_is_the_crop_within_rounding(
    size: tuple[int, int], name: str
) -> None:
    spec = replace(SPEC, interpolation=name, reduce=1)
    image = make_photo(*size)
    found = np.asarray(crop_reduced(image, size, 1, 1, spec)).astype(int)
    difference = np.abs(found - np.asarray(resize_and_crop(image, spec)).astype(int))
    assert difference.mean() < 1
    if name != "area":  # which takes a pixel on the edge of a block into it or leaves it out
        assert difference.max() <= 2


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("size", [(643, 481), (481, 643), (320, 320)])
def test_window_is_that_of_the_full_image_at_each_scale(size: tuple[int, int], scale: int) -> None:
    """The last column and row of a block that is cut off do not stretch the others."""
    image = make_photo(*size)
    found = crop_reduced(image.reduce(scale), size, scale, 1, replace(SPEC, reduce=1))
    expected = np.asarray(resize_and_crop(image, SPEC)).astype(int)
    difference = np.abs(np.asarray(found).astype(int) - expected)
    assert difference.max() <= 2
    assert difference.mean() < 0.6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_reduced_crop_is_upright(orientation: int) -> None:
    upright = make_photo(401, 299)
    back = {6: 8, 8: 6}.get(orientation, orientation)
    turn = TRANSPOSITIONS.get(back)
    stored = upright if turn is None else upright.transpose(turn)
    found = crop_reduced(stored, stored.size, 1, orientation, replace(SPEC, reduce=1))
    expected = np.asarray(resize_and_crop(upright, SPEC)).astype(int)
    assert np.abs(np.asarray(found).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_modes_are_converted_when_they_are_small(mode: str) -> None:
    image = make_photo(301, 200).convert(mode)
    found = crop_reduced(image, image.size, 1, 1, replace(SPEC, reduce=1))
    assert found.mode == "RGB"
    expected = np.asarray(resize_and_crop(image.convert("RGB"), SPEC)).astype(int)
    assert np.abs(np.asarray(found).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("size", [(1, 3_000_000), (3_000_000, 1), (9000, 40), (40, 9000)])
def test_reduced_crop_of_extreme_shapes(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, (10, 200, 30))
    levels = np.asarray(crop_reduced(image, size, 1, 1, replace(SPEC, reduce=1)))
    assert np.array_equal(np.unique(levels), [10, 30, 200])


def test_reduced_crop_of_a_long_image_shows_the_middle() -> None:
    image = make_photo(9000, 450)
    found = np.asarray(crop_reduced(image, image.size, 1, 1, replace(SPEC, reduce=1))).astype(int)
    expected = np.asarray(resize_and_crop(image, SPEC)).astype(int)
    assert np.abs(found - expected).max() <= 2


# ---- normalisation


@given(
    mean=st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3),
    std=st.lists(st.floats(1e-6, 1e6), min_size=3, max_size=3),
)
def test_table_has_the_bits_of_the_formula(mean: list[float], std: list[float]) -> None:
    spec = Preprocessing(16, 16, "bilinear", (*mean,), (*std,))  # type: ignore[arg-type]
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    with np.errstate(over="ignore"):
        found = normalise(Image.fromarray(levels), spec)
        expected = (levels.astype(np.float32) - np.float32(mean)) / np.float32(std)
    assert found.tobytes() == expected.transpose(2, 0, 1).tobytes()


@given(
    mean=st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3),
    std=st.lists(st.floats(1e-6, 1e6), min_size=3, max_size=3),
)
def test_pixels_come_back_from_their_tensor(mean: list[float], std: list[float]) -> None:
    spec = replace(SPEC, mean=tuple(mean), std=tuple(std))
    levels = np.arange(256, dtype=np.uint8).reshape(8, 32)
    pixels = np.stack([levels, levels[::-1], levels.T.reshape(8, 32)], axis=-1)
    restored = restore_pixels(normalise(Image.fromarray(pixels), spec), spec)
    assert restored.dtype == np.uint8
    assert np.array_equal(restored, pixels)
