"""Generated images that show nothing."""

import io

import numpy as np
import pytest
from PIL import Image

from models.data.patterns import PATTERNS, make_patterns


def test_each_pattern_has_as_many_images_of_the_class_other() -> None:
    files = make_patterns(2 * len(PATTERNS), 24)
    assert files.classes == ("other",)
    assert set(files.labels) == {0}
    assert len(set(files.names)) == len(files) == 2 * len(PATTERNS)
    for kind in PATTERNS:
        assert sum(name.startswith(f"other/patterns/{kind}-") for name in files.names) == 2
    for i in range(len(files)):
        image = Image.open(io.BytesIO(files.read(i)))
        assert (image.size, image.mode) == ((24, 24), "RGB")


def test_they_are_the_same_each_time_and_all_differ() -> None:
    first, second = make_patterns(24, 24), make_patterns(24, 24)
    assert first.sha256() == second.sha256()
    assert len({first.digest(i) for i in range(24)}) == 24
    assert len(make_patterns(0, 24)) == 0


@pytest.mark.parametrize(
    ("kind", "least", "most"), [("plain", 0, 12), ("dark", 0, 12), ("noise", 8, 128)]
)
def test_they_are_as_even_as_they_should_be(kind: str, least: float, most: float) -> None:
    """The standard deviation of the values of each image, of all its channels the largest."""
    files = make_patterns(60, 32)
    found = [
        np.asarray(Image.open(io.BytesIO(files.read(i))), np.float64).std((0, 1)).max()
        for i, name in enumerate(files.names)
        if f"/{kind}-" in name
    ]
    assert len(found) == 10
    assert least <= min(found)
    assert max(found) <= most
