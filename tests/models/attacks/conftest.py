"""What the tests of attacks share: a small target, and images that it is right on."""

from pathlib import Path

import pytest
from torch import Tensor

from models.attacks.measure import Images
from models.attacks.target import Target
from tests.models.small_networks import open_small


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> tuple[Target, Images]:
    """A target with gradients and its images."""
    folder: Path = tmp_path_factory.mktemp("attacks")
    return open_small(folder)


@pytest.fixture
def small(opened: tuple[Target, Images]) -> tuple[Target, Tensor]:
    """The target and pixels uint8 that it is right on."""
    target, images = opened
    return target, images.pixels
