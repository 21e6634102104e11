"""The load test's pictures: repeatable, decodable, and multipart as a client would write it."""

import email.parser
import email.policy
import io
from pathlib import Path

import pytest
from PIL import Image

from loadtests.clients.images import (
    CONTENT_TYPE,
    FORMATS,
    SIZES,
    build_picture,
    generate_jpegs,
    generate_pictures,
    read_photos,
)


def test_same_seed_gives_same_bytes(seed: int) -> None:
    assert generate_pictures(seed, 3) == generate_pictures(seed, 3)
    assert generate_pictures(seed, 3) != generate_pictures(seed + 1, 3)


def test_every_size_and_format_appears_and_decodes(seed: int) -> None:
    seen = set()
    for picture in generate_pictures(seed, len(SIZES) * len(FORMATS)):
        with Image.open(io.BytesIO(picture.data)) as image:
            image.load()
            seen.add((image.size, image.format))
    assert seen == {(size, name) for size in SIZES for name in FORMATS}


@pytest.mark.parametrize("size", [(73, 73), (512, 384), (40, 300), (1, 1)])
def test_jpegs_have_their_size_and_are_repeatable(seed: int, size: tuple[int, int]) -> None:
    first, second = generate_jpegs(seed, 2, size)
    assert [first, second] == generate_jpegs(seed, 2, size)
    assert first.data != second.data
    with Image.open(io.BytesIO(first.data)) as image:
        image.load()
        assert (image.format, image.size) == ("JPEG", size)


def test_jpegs_take_as_many_bytes_as_photos_do(seed: int) -> None:
    """A decoder's work depends on them: 12 megapixels of this are 1.5 to 3 MB."""
    (picture,) = generate_jpegs(seed, 1, (1008, 756))
    assert 0.12 < len(picture.data) / (1008 * 756) < 0.25


def test_no_pictures_is_an_error(seed: int) -> None:
    with pytest.raises(ValueError, match="at least 1 picture"):
        generate_pictures(seed, 0)


def test_body_is_one_image_field() -> None:
    picture = build_picture("cat.jpg", b"\xff\xd8 not really \r\n a picture")
    head = f"Content-Type: {CONTENT_TYPE}\r\n\r\n".encode()
    parser = email.parser.BytesParser(policy=email.policy.HTTP)
    message = parser.parsebytes(head + picture.body)
    (part,) = message.iter_parts()
    assert part.get_param("name", header="content-disposition") == "image"
    assert part.get_filename() == "cat.jpg"
    assert part.get_payload(decode=True) == picture.data


def test_photos_are_read_by_name(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(name.encode())
    assert [picture.name for picture in read_photos(tmp_path)] == ["a.jpg", "b.PNG"]


@pytest.mark.parametrize("folder", [".", "missing"])
def test_folder_without_photos_is_an_error(tmp_path: Path, folder: str) -> None:
    with pytest.raises(FileNotFoundError, match="--photos"):
        read_photos(tmp_path / folder)
