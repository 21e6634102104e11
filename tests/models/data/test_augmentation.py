"""models.data.augmentation: shapes, chance from the table alone, the pixels of the service."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from models.data.augmentation import (
    AUGMENTATIONS,
    BLUR_DRAWS,
    COLOR_DRAWS,
    DRAWS,
    MIX_DRAWS,
    SIGMAS,
    SIGMAS_AT,
    YIQ,
    augment_crop,
    augment_resized_crop,
    blur,
    draw,
    jitter_colors,
    normalize,
    paste_windows,
    view_centre,
)
from models.data.preprocessing import evaluation_preprocessing, whole_preprocessing
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
def test_without_room_images_are_only_flipped(augment: Callable[..., Tensor]) -> None:
    pixels = noise(20)
    draws = seeded_draws(20, 0)
    if augment is augment_crop:
        draws[:, :2] = 0.5  # the middle of the bordered image
    else:
        draws[:, 1:4] = 0.5  # aspect 1, centred
    out = augment(pixels, draws, 8, 1.0)
    same = [torch.equal(a, b) for a, b in zip(out, pixels, strict=True)]
    flipped = [torch.equal(a, b.flip(-1)) for a, b in zip(out, pixels, strict=True)]
    assert all(a != b for a, b in zip(same, flipped, strict=True))
    assert any(same)
    assert any(flipped)


def test_crop_takes_windows_of_the_bordered_image() -> None:
    pixels = noise(1, 6) // 2 + 1  # no zeros
    draws = torch.zeros(1, DRAWS)
    draws[:, 2] = 0.9  # no flip
    corner = augment_crop(pixels, draws, 6, 1.0)
    assert torch.equal(corner[:, :, 4:, 4:], pixels[:, :, :2, :2])
    assert not corner[:, :, :4].any()


def test_resized_crop_stays_within_the_image_and_above_the_area() -> None:
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
    """Of smooth images: scaling in two steps rounds twice."""
    monkeypatch.setattr("models.data.augmentation.AT_A_TIME", 2)
    spec = evaluation_preprocessing(8, 10)
    ramp = np.linspace(0, 255, side).astype(np.uint8)
    images = [np.broadcast_to(ramp[:, None, None], (side, side, 3)), np.zeros((side, side, 3))]
    images += [np.broadcast_to(ramp[None, :, None], (side, side, 3))]
    images = [np.ascontiguousarray(image, np.uint8) for image in images]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    found = normalize(view_centre(pixels, spec), spec)
    expected = np.stack([preprocess(Image.fromarray(image), spec) for image in images])
    assert found.shape == expected.shape
    assert np.abs(found.numpy() - expected).max() <= 1.01 / min(spec.std)


def colorful(count: int) -> Tensor:
    return noise(count, 16) // 2 + 64  # room above and below


def color_draws(count: int, **given: float) -> Tensor:
    """All in the middle, which changes nothing, but for the given ones."""
    names = ("brightness", "contrast", "saturation", "hue", "keep")
    return torch.tensor([[given.get(name, 0.5) for name in names]]).repeat(count, 1)


def brightness_of(pixels: Tensor) -> Tensor:
    return torch.einsum("c,nchw->nhw", torch.tensor(YIQ[0]), pixels.float())


@given(
    strength=st.floats(0, 1),
    draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=COLOR_DRAWS, max_size=COLOR_DRAWS),
    value=st.integers(0, 255),
)
def test_of_one_grey_only_brightness_can_change(
    strength: float, draws: list[float], value: int
) -> None:
    pixels = torch.full((1, 3, 4, 4), value, dtype=torch.uint8)
    out = jitter_colors(pixels, torch.tensor([draws]), strength)
    assert out.dtype == torch.uint8
    wanted = min(value * (1 + 0.8 * strength * (2 * draws[0] - 1)), 255)
    assert (out.float() - wanted).abs().max() <= 1


@pytest.mark.parametrize(("strength", "draws"), [(0.0, None), (1.0, color_draws(20))])
def test_no_jitter_changes_nothing(strength: float, draws: Tensor | None) -> None:
    pixels = noise(20)
    draws = draw(20, torch.Generator().manual_seed(1), COLOR_DRAWS) if draws is None else draws
    assert torch.equal(jitter_colors(pixels, draws, strength), pixels)


def test_hue_turns_colors_and_leaves_brightness() -> None:
    pixels = colorful(5)
    turned = jitter_colors(pixels, color_draws(5, hue=0.9), 0.4)
    assert not torch.equal(turned, pixels)
    assert (brightness_of(turned) - brightness_of(pixels)).abs().max() <= 1.5
    for color in ((160, 90, 90), (90, 150, 90)):  # a turn of 0.2 and back
        pixel = torch.tensor(color, dtype=torch.uint8).view(1, 3, 1, 1)
        there = jitter_colors(pixel, color_draws(1, hue=1.0), 1.0)
        back = jitter_colors(there, color_draws(1, hue=0.0), 1.0)
        assert (there.int() - pixel).abs().max() > 20
        assert (back.int() - pixel).abs().max() <= 2


def test_saturation_grey_brightness_and_contrast() -> None:
    pixels = colorful(5)
    grey = jitter_colors(pixels, color_draws(5, keep=0.1), 0.6)
    assert (grey.float() - brightness_of(pixels)[:, None]).abs().max() <= 1
    vivid = jitter_colors(pixels, color_draws(5, saturation=0.7), 0.5).float()
    assert vivid.std(1).mean() > pixels.float().std(1).mean()
    darker = jitter_colors(pixels, color_draws(5, brightness=0.0), 0.5).float()
    assert (darker - 0.6 * pixels.float()).abs().max() <= 1
    flat = jitter_colors(pixels, color_draws(5, contrast=0.0), 0.5)
    mean = brightness_of(pixels).mean((1, 2))
    assert (brightness_of(flat).mean((1, 2)) - mean).abs().max() <= 1
    spread = brightness_of(flat).std((1, 2)) / brightness_of(pixels).std((1, 2))
    assert (spread - 0.6).abs().max() < 0.02


def test_a_share_of_the_batch_gets_the_colors_of_the_whole() -> None:
    pixels, draws = noise(6), draw(6, torch.Generator().manual_seed(2), COLOR_DRAWS)
    whole = jitter_colors(pixels, draws, 0.7)
    assert torch.equal(whole[1::2], jitter_colors(pixels[1::2], draws[1::2], 0.7))


def blur_draws(count: int, seed: int) -> Tensor:
    return draw(count, torch.Generator().manual_seed(seed), BLUR_DRAWS)


def variance(pixels: Tensor) -> Tensor:
    """Of each image."""
    return pixels.float().var((1, 2, 3))


def test_blur_of_no_image_changes_nothing() -> None:
    pixels, draws = noise(20, 64), blur_draws(20, 1)
    draws[0] = 0
    assert torch.equal(blur(pixels, draws, 0.0), pixels)


@given(
    draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=BLUR_DRAWS, max_size=BLUR_DRAWS),
    value=st.integers(0, 255),
    size=st.tuples(st.integers(1, 80), st.integers(1, 80)),
)
def test_of_one_color_blur_changes_nothing(
    draws: list[float], value: int, size: tuple[int, int]
) -> None:
    pixels = torch.full((1, 3, *size), value, dtype=torch.uint8)
    pixels[:, 1] = 255 - value
    out = blur(pixels, torch.tensor([draws]), 1.0)
    assert out.dtype == torch.uint8
    assert torch.equal(out, pixels)


def test_blur_evens_out_and_leaves_the_mean() -> None:
    pixels = noise(4, 112)
    weak, strong = (blur(pixels, torch.tensor([[0.5, d]]).repeat(4, 1), 1.0) for d in (0.4, 0.9))
    assert (variance(weak) < 0.9 * variance(pixels)).all()
    assert (variance(strong) < 0.5 * variance(weak)).all()
    for out in (weak, strong):  # of each colour of each image
        assert (out.float().mean((2, 3)) - pixels.float().mean((2, 3))).abs().max() < 1


def test_blur_acts_on_a_share_of_the_images() -> None:
    pixels, draws = noise(200, 64), blur_draws(200, 4)
    draws[:, 1] = 0.9  # the least deviations leave every pixel as it is
    draws[0, 0] = 0.3  # the bound itself is outside
    changed = blur(pixels, draws, 0.3).ne(pixels).flatten(1).any(1)
    assert torch.equal(changed, draws[:, 0] < 0.3)
    assert 40 < changed.sum() < 80


def test_blur_depends_on_the_draws_alone() -> None:
    pixels = noise(6, 64)
    first, again, other = (blur(pixels, blur_draws(6, seed), 1.0) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_share_of_the_batch_is_blurred_as_in_the_whole() -> None:
    pixels, draws = noise(6, 64), blur_draws(6, 5)
    whole = blur(pixels, draws, 0.8)
    assert not torch.equal(whole, pixels)
    assert torch.equal(whole[1::2], blur(pixels[1::2], draws[1::2], 0.8))


@pytest.mark.parametrize(("side", "number"), [(112, 1.0), (224, 0.5), (224, 1.0), (448, 1.0)])
def test_deviations_of_blur_grow_with_the_side(side: int, number: float) -> None:
    """What it makes of an edge rises as a Gaussian's integral does."""
    edge = torch.zeros(1, 3, side, side, dtype=torch.uint8)
    edge[..., side // 2 :] = 255
    out = blur(edge, torch.tensor([[0.0, number]]), 1.0)
    assert torch.equal(out, out[:, :1, :1].expand_as(out)), "every row of every colour"
    weights = out[0, 0, 0].double().diff() / 255
    place = torch.arange(side - 1) - (weights * torch.arange(side - 1)).sum()
    least, most = (sigma * side / SIGMAS_AT for sigma in SIGMAS)
    found = (weights * place.square()).sum().sqrt().item()
    assert found == pytest.approx(least + (most - least) * number, rel=0.05)
    upright = blur(edge.mT, torch.tensor([[0.0, number]]), 1.0)
    assert (upright.mT.int() - out).abs().max() <= 1


def test_each_image_is_blurred_by_its_own_number() -> None:
    pixels = noise(1, 112).repeat(3, 1, 1, 1)
    draws = torch.tensor([[0.9, 0.9], [0.1, 0.5], [0.1, 0.9]])
    out = blur(pixels, draws, 0.5)
    assert torch.equal(out[0], pixels[0])
    found = variance(out)
    assert found[0] > found[1] > found[2]


@given(st.integers(0, 2**31), st.integers(1, 5))
def test_a_pasted_window_is_of_the_mirrored_image(seed: int, count: int) -> None:
    pixels = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 6, 10)
    draws = draw(count, torch.Generator().manual_seed(seed), MIX_DRAWS)
    mixed, left = paste_windows(pixels, draws, 1.0)
    assert mixed.shape == pixels.shape
    assert mixed.dtype == torch.uint8
    for i in range(count):
        other = mixed[i] != i
        assert torch.equal(other[0], other[2]), "all colours alike"
        assert set(mixed[i].unique().tolist()) <= {i, count - 1 - i}
        if i != count - 1 - i:
            assert left[i].item() == pytest.approx(1 - other[0].float().mean().item())
            rows, columns = other[0].any(1), other[0].any(0)
            assert torch.equal(other[0], rows[:, None] & columns), "a rectangle"


def test_a_share_of_the_images_gets_windows_of_any_area() -> None:
    pixels = noise(1000)
    draws = draw(1000, torch.Generator().manual_seed(0), MIX_DRAWS)
    mixed, left = paste_windows(pixels, draws, 0.3)
    changed = (mixed != pixels).flatten(1).any(1)
    assert 0.2 < changed.float().mean() < 0.3
    assert torch.equal(left == 1, ~changed)
    assert left.min() < 0.3
    whole, all_left = paste_windows(pixels, draws, 0.0)
    assert torch.equal(whole, pixels)
    assert (all_left == 1).all()
