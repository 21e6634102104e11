"""The photos of the memory test: sizes, formats, and the same every time."""

import io

from PIL import Image

from loadtests.clients.images import MEMORY_SIZES
from loadtests.memory.photos import FORMATS, generate_photos


def test_every_format_in_every_size_up_to_a_megapixel() -> None:
    images = generate_photos(3)
    found = set()
    for image in images:
        with Image.open(io.BytesIO(image.data)) as opened:
            found.add((opened.size, opened.format))
    assert found == {(size, kind) for size in MEMORY_SIZES for kind in FORMATS}
    assert max(width * height for width, height in MEMORY_SIZES) <= 1_000_000
    assert len({image.name for image in images}) == len(images)


def test_seed_decides() -> None:
    sizes = ((64, 48),)
    first, same, other = (generate_photos(seed, sizes) for seed in (1, 1, 2))
    assert [p.data for p in first] == [p.data for p in same]
    assert [p.data for p in first] != [p.data for p in other]
