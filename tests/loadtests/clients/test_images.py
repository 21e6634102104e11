"""The load test's images: repeatable, decodable, and multipart as a client would write it."""

import email.parser
import email.policy
import io
import re
from pathlib import Path

import pytest
from PIL import Image

from loadtests.clients.images import (
    CONTENT_TYPE,
    FORMATS,
    MIXED_SIZES,
    SIZES,
    build_image,
    describe_sizes,
    generate_images,
    generate_jpegs,
    read_photos,
)


def test_same_seed_gives_same_bytes(seed: int) -> None:
    assert generate_images(seed, 3) == generate_images(seed, 3)
    assert generate_images(seed, 3) != generate_images(seed + 1, 3)


def test_every_size_and_format_appears_and_decodes(seed: int) -> None:
    seen = set()
    for image in generate_images(seed, len(MIXED_SIZES) * len(FORMATS)):
        with Image.open(io.BytesIO(image.data)) as opened:
            opened.load()
            seen.add((opened.size, opened.format))
    assert seen == {(size, name) for size in MIXED_SIZES for name in FORMATS}


def test_names_of_sizes_go_from_small_to_large() -> None:
    pixels = [width * height for width, height in SIZES.values()]
    assert pixels == sorted(set(pixels))
    assert pixels[-1] > 12_000_000, "as many as a phone has"
    assert describe_sizes().startswith("tiny 73x73, thumbnail 160x120, ")


def test_the_readme_has_a_table_of_sizes(repository: Path) -> None:
    text = (repository / "loadtests" / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\d+)x(\d+) \|$", text, re.MULTILINE)
    assert {name: (int(width), int(height)) for name, width, height in rows} == SIZES


@pytest.mark.parametrize("size", [(73, 73), (512, 384), (40, 300), (1, 1)])
def test_jpegs_have_their_size_and_are_repeatable(seed: int, size: tuple[int, int]) -> None:
    first, second = generate_jpegs(seed, 2, size)
    assert [first, second] == generate_jpegs(seed, 2, size)
    assert first.data != second.data
    with Image.open(io.BytesIO(first.data)) as opened:
        opened.load()
        assert (opened.format, opened.size) == ("JPEG", size)


def test_jpegs_take_as_many_bytes_as_photos_do(seed: int) -> None:
    """A decoder's work depends on them: 12 megapixels of this are 1.5 to 3 MB."""
    (image,) = generate_jpegs(seed, 1, (1008, 756))
    assert 0.12 < len(image.data) / (1008 * 756) < 0.25


def test_no_images_is_an_error(seed: int) -> None:
    with pytest.raises(ValueError, match="at least 1 image"):
        generate_images(seed, 0)


def test_body_is_one_image_field() -> None:
    image = build_image("cat.jpg", b"\xff\xd8 not really \r\n an image")
    head = f"Content-Type: {CONTENT_TYPE}\r\n\r\n".encode()
    parser = email.parser.BytesParser(policy=email.policy.HTTP)
    message = parser.parsebytes(head + image.body)
    (part,) = message.iter_parts()
    assert part.get_param("name", header="content-disposition") == "image"
    assert part.get_filename() == "cat.jpg"
    assert part.get_payload(decode=True) == image.data


def test_photos_are_read_by_name(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "notes.txt", "Thumbs.db", "desktop.ini", "._a.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    assert [image.name for image in read_photos(tmp_path)] == ["a.jpg", "b.PNG"]


@pytest.mark.parametrize("folder", [".", "missing"])
def test_folder_without_photos_is_an_error(tmp_path: Path, folder: str) -> None:
    with pytest.raises(FileNotFoundError, match="--photos"):
        read_photos(tmp_path / folder)
