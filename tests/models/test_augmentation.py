"""models.augmentation: shapes, chance from the table alone, the pixels of the service."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from models.augmentation import (
    AUGMENTATIONS,
    DRAWS,
    augment_crop,
    augment_resized_crop,
    draw,
    normalize,
    view_centre,
)
from models.preprocessing import evaluation_preprocessing, whole_preprocessing
from runtime import preprocess


def noise(count: int, side: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator).to(torch.uint8)


def seeded_draws(count: int, seed: int) -> Tensor:
    return draw(count, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("side", [6, 8])
def test_shape_and_dependence_on_the_draws_alone(name: str, side: int) -> None:
    augment = AUGMENTATIONS[name]
    pixels = noise(5)
    draws = [augment(pixels, seeded_draws(5, seed), side, 0.08) for seed in (1, 1, 2)]
    assert draws[0].shape == (5, 3, side, side)
    assert draws[0].dtype == torch.uint8
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_share_of_the_batch_comes_out_as_in_the_whole(name: str) -> None:
    augment, pixels, draws = AUGMENTATIONS[name], noise(6), seeded_draws(6, 3)
    whole = augment(pixels, draws, 8, 0.3)
    assert torch.equal(whole[1::2], augment(pixels[1::2], draws[1::2], 8, 0.3))


@pytest.mark.parametrize("augment", [augment_crop, augment_resized_crop])
def test_without_room_pictures_are_only_flipped(augment: Callable[..., Tensor]) -> None:
    pixels = noise(20)
    draws = seeded_draws(20, 0)
    if augment is augment_crop:
        draws[:, :2] = 0.5  # the middle of the bordered picture
    else:
        draws[:, 1:4] = 0.5  # aspect 1, centred
    out = augment(pixels, draws, 8, 1.0)
    same = [torch.equal(a, b) for a, b in zip(out, pixels, strict=True)]
    flipped = [torch.equal(a, b.flip(-1)) for a, b in zip(out, pixels, strict=True)]
    assert all(a != b for a, b in zip(same, flipped, strict=True))
    assert any(same)
    assert any(flipped)


def test_crop_takes_windows_of_the_bordered_picture() -> None:
    pixels = noise(1, 6) // 2 + 1  # no zeros
    draws = torch.zeros(1, DRAWS)
    draws[:, 2] = 0.9  # no flip
    corner = augment_crop(pixels, draws, 6, 1.0)
    assert torch.equal(corner[:, :, 4:, 4:], pixels[:, :, :2, :2])
    assert not corner[:, :, :4].any()


def test_resized_crop_stays_within_the_picture_and_above_the_area() -> None:
    ramp = torch.arange(64, dtype=torch.uint8).repeat(3, 64, 1)[None].repeat(200, 1, 1, 1)
    out = augment_resized_crop(ramp, seeded_draws(200, 1), 16, 0.25).float()
    spread = out.amax((1, 2, 3)) - out.amin((1, 2, 3))
    assert spread.min() > 64 * (0.25 * 3 / 4) ** 0.5 * 0.85
    assert spread.max() <= 63


def test_normalized_pixels_are_those_of_the_service() -> None:
    spec = whole_preprocessing(8)
    pixels = noise(1)
    image = Image.fromarray(np.ascontiguousarray(pixels[0].permute(1, 2, 0).numpy()))
    assert np.array_equal(normalize(pixels, spec)[0].numpy(), preprocess(image, spec))


@pytest.mark.parametrize("side", [10, 36, 40])
def test_the_centre_is_what_the_service_sees(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of smooth pictures: scaling in two steps rounds twice."""
    monkeypatch.setattr("models.augmentation.AT_A_TIME", 2)
    spec = evaluation_preprocessing(8, 10)
    ramp = np.linspace(0, 255, side).astype(np.uint8)
    pictures = [np.broadcast_to(ramp[:, None, None], (side, side, 3)), np.zeros((side, side, 3))]
    pictures += [np.broadcast_to(ramp[None, :, None], (side, side, 3))]
    pictures = [np.ascontiguousarray(picture, np.uint8) for picture in pictures]
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    found = normalize(view_centre(pixels, spec), spec)
    expected = np.stack([preprocess(Image.fromarray(picture), spec) for picture in pictures])
    assert found.shape == expected.shape
    assert np.abs(found.numpy() - expected).max() <= 1.01 / min(spec.std)
