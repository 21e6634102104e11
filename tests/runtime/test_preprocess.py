"""runtime.preprocess: exact geometry and numbers, settings that check themselves."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtime import InvalidImage, Preprocessing, preprocess, resize_and_crop
from runtime.errors import InvalidManifest
from tests.runtime.images import make_photo

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
def test_preprocess_refuses_what_is_no_rgb_picture(image: Image.Image) -> None:
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
