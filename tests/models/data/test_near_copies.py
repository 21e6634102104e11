"""models.data.near_copies: the same photo is found however it is encoded, another one is not."""

import io

import numpy as np
import pytest
from PIL import Image

from models.data.image_files import ImageFiles
from models.data.near_copies import (
    BITS,
    NEAR,
    find_near_copies,
    find_repeats,
    hash_files,
    hash_image,
)
from models.data.packs import encode_anew
from models.errors import DamagedImages
from tests.models.images import make_files


def draw(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Soft blobs of colour, as far from each other as photos are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encode(image: Image.Image, format_name: str = "JPEG", **options: int) -> bytes:
    out = io.BytesIO()
    image.save(out, format_name, **options)
    return out.getvalue()


def make(*images: bytes) -> ImageFiles:
    return make_files({"photo": {f"{i:03}": data for i, data in enumerate(images)}})


def test_the_same_photo_is_found_however_it_is_encoded() -> None:
    photo, larger = draw(1), draw(1, (640, 480))
    gray_edge = photo.crop((2, 2, 318, 238))
    images = make(
        encode(photo, quality=40),
        encode(larger, "PNG"),
        encode(gray_edge),
        encode(photo.convert("L")),
        encode_anew(encode(larger), 128),  # as packs keep it: the centre square
    )
    others = make(*(encode(draw(seed)) for seed in (5, 1, 6)))
    found = find_near_copies(images, others)
    assert {i: twin for i, (twin, _) in found.items()} == dict.fromkeys(range(5), 1)
    assert all(0 <= bits <= NEAR for _, bits in found.values())


def test_other_photos_are_far() -> None:
    hashes = hash_files(make(*(encode(draw(seed)) for seed in range(60))))
    assert hashes.shape == (60, BITS // 8)
    assert find_near_copies(hashes[:30], hashes[30:], bits=60) == {}
    assert find_repeats(hashes, bits=60) == {}


def test_differing_bits_are_counted_as_they_are() -> None:
    hashes = np.random.default_rng(3).integers(0, 256, (700, BITS // 8), np.uint8)
    images, others = hashes[:600], hashes[600:]  # more than are compared in one step
    counted = np.unpackbits(images[:, None] ^ others[None], axis=2).sum(axis=2)
    found = find_near_copies(images, others, bits=BITS)
    assert [found[i][1] for i in range(600)] == counted.min(axis=1).tolist()
    assert [found[i][0] for i in range(600)] == counted.argmin(axis=1).tolist()
    limit = int(np.median(counted.min(axis=1)))
    assert set(find_near_copies(images, others, limit)) == set(
        np.flatnonzero(counted.min(axis=1) <= limit).tolist()
    )


def test_of_repeats_the_first_stays() -> None:
    photos = [encode(draw(1)), encode(draw(2)), encode(draw(1), quality=30), encode(draw(1), "PNG")]
    assert {i: twin for i, (twin, _) in find_repeats(make(*photos)).items()} == {2: 0, 3: 0}


def test_a_repeat_of_what_is_left_out_stays() -> None:
    chain = np.zeros((3, BITS // 8), np.uint8)
    chain[1, :2] = 255  # 16 bits from the first
    chain[2, :4] = 255  # 16 from the second, 32 from the first
    assert find_repeats(chain, bits=20) == {1: (0, 16)}


def test_without_others_there_are_no_copies() -> None:
    hashes = hash_files(make(encode(draw(1))))
    assert find_near_copies(hashes, hashes[:0]) == {}
    assert find_near_copies(hashes[:0], hashes) == {}


def test_a_file_that_is_no_image_is_named() -> None:
    with pytest.raises(DamagedImages, match="photo/001"):
        find_near_copies(make(encode(draw(1)), b"no image"), make(encode(draw(2))))


def test_only_the_centre_square_counts() -> None:
    wide = Image.new("RGB", (500, 240), "white")
    wide.paste(draw(1, (240, 240)), (130, 0))
    assert hash_image(wide).tolist() == hash_image(draw(1, (240, 240))).tolist()
