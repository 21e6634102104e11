"""Tests of the order in which an epoch has its images."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.training.order import draw_order, repeat_crops

MANY = torch.tensor([0] * 600 + [1] * 60 + [2] * 5400)


def draw(balance: float = 0.0, other_share: float = 0.0, seed: int = 1) -> torch.Tensor:
    return draw_order(MANY, torch.Generator().manual_seed(seed), balance, 2, other_share)


def shares(order: torch.Tensor) -> list[float]:
    counts = Counter(MANY[order].tolist())
    return [counts[c] / len(order) for c in range(3)]


@given(st.integers(0, 1000))
def test_without_weights_each_image_comes_once(seed: int) -> None:
    order = draw(seed=seed)
    assert torch.equal(order.sort().values, torch.arange(len(MANY)))


@pytest.mark.parametrize(
    ("balance", "other_share", "expected"),
    [
        (1.0, 0.0, [1 / 3, 1 / 3, 1 / 3]),
        (0.5, 0.0, [600**0.5, 60**0.5, 5400**0.5]),
        (0.0, 0.25, [0.75 * 600 / 660, 0.75 * 60 / 660, 0.25]),
        (1.0, 0.25, [0.375, 0.375, 0.25]),
        (0.5, 0.1, [0.9 * 600**0.5, 0.9 * 60**0.5, 0.1 * (600**0.5 + 60**0.5)]),
    ],
)
def test_classes_come_as_often_as_asked(
    balance: float, other_share: float, expected: list[float]
) -> None:
    order = draw(balance, other_share)
    assert len(order) == len(MANY)
    assert shares(order) == pytest.approx([e / sum(expected) for e in expected], abs=0.02)


def test_images_of_a_class_come_equally_often() -> None:
    draws = torch.cat([draw(0.5, 0.3, seed) for seed in range(20)])
    small = torch.bincount(draws, minlength=len(MANY))[600:660]
    assert small.min() > small.float().mean() / 2


def test_a_share_of_no_class_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the class other"):
        draw_order(MANY, torch.Generator(), 0.0, None, 0.2)


@given(st.integers(1, 40), st.integers(1, 50))
def test_crops_of_an_image_come_in_a_row(images: int, crops: int) -> None:
    order = torch.randperm(images, generator=torch.Generator().manual_seed(images))
    repeated = repeat_crops(order, crops)
    assert len(repeated) == images
    assert repeated.tolist() == [order[i // crops].item() for i in range(images)]


def test_a_seed_gives_one_order() -> None:
    assert torch.equal(draw(0.5, 0.2), draw(0.5, 0.2))
    assert not torch.equal(draw(0.5, 0.2), draw(0.5, 0.2, seed=2))
