"""Inputs for measuring: of the network's shape, and always the same."""

from pathlib import Path

import numpy as np

from runtime.measurement.inputs import make_images
from tests.runtime.bundles import make_bundle


def test_images_are_repeatable(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", graphs=False)
    images = make_images(bundle, 2)
    assert images.dtype == np.float32
    assert images.shape == (2, *bundle.manifest.input)
    assert np.array_equal(images, make_images(bundle, 2))
    assert not np.array_equal(images, make_images(bundle, 2, seed=1))
