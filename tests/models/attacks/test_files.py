"""models.attacks.files: what a network sees of the file is what was put in."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from models.attacks.files import make_file
from models.attacks.target import Target
from runtime import ImageReader
from tests.models.small_networks import PREPROCESSING


@pytest.mark.parametrize("resize", [16, 17, 18, 21])
@pytest.mark.parametrize("reduce", [None, 2.0])
def test_pixels_come_back_from_the_file(
    resize: int, reduce: float | None, rng: np.random.Generator
) -> None:
    preprocessing = replace(PREPROCESSING, resize=resize, reduce=reduce)
    pixels = torch.from_numpy(rng.integers(0, 256, (3, 16, 16), np.uint8))
    image = ImageReader(preprocessing).read_pixels(make_file(pixels, preprocessing))
    assert np.array_equal(np.asarray(image).transpose(2, 0, 1), pixels.numpy())


def test_the_engine_answers_files_as_it_answers_pixels(small: tuple[Target, Tensor]) -> None:
    target, pixels = small
    assert torch.allclose(target.answer_files(pixels), target.score(pixels), atol=1e-4)
