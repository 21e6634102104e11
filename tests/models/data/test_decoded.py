"""models.data.decoded: decoding like the service, damage named, pixels kept."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from models.data.augmentation import normalize
from models.data.decoded import decode_images
from models.data.image_files import ImageFiles, read_folder
from models.data.preprocessing import MEAN, STD
from models.errors import DamagedImages, DataError
from runtime import InvalidImage, Preprocessing, decode_image, preprocess
from tests.models.images import make_files, write_image

SPEC = Preprocessing(10, 8, "bilinear", MEAN, STD)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def all_kinds() -> ImageFiles:
    """Grey, CMYK, transparent, turned by EXIF, and plain: one of each."""
    pixels = np.random.default_rng(3).integers(0, 256, (20, 14, 4), np.uint8)
    rgb = Image.fromarray(pixels[..., :3])
    turned = Image.Exif()
    turned[0x0112] = 6
    return make_files(
        {
            "a": {
                "alpha.png": encoded(Image.fromarray(pixels)),
                "cmyk.jpg": encoded(rgb.convert("CMYK"), "JPEG"),
                "grey.jpg": encoded(rgb.convert("L"), "JPEG"),
            },
            "b": {
                "palette.png": encoded(rgb.convert("P")),
                "plain.webp": encoded(rgb, "WEBP"),
                "turned.jpg": encoded(rgb, "JPEG", exif=turned),
            },
        }
    )


def test_every_kind_of_image_comes_out_as_the_service_sees_it() -> None:
    files = all_kinds()
    images = decode_images(files, SPEC)
    assert images.pixels.dtype == torch.uint8
    inputs = normalize(images.pixels, SPEC).numpy()
    for i in range(len(files)):
        expected = preprocess(decode_image(files.read(i)), SPEC)
        assert np.array_equal(inputs[i], expected), files.names[i]


def test_files_are_accepted_and_refused_as_the_service_does() -> None:
    image = Image.fromarray(np.random.default_rng(4).integers(0, 256, (60, 80, 3), np.uint8))
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 3_000_000, zip=True)
    jpeg = encoded(image, "JPEG")
    good = {
        "photo.avif": encoded(image, "AVIF"),
        "text.png": encoded(image, pnginfo=text),
        "without_end.jpg": jpeg[:-2],
    }
    bad = {
        "half.jpg": jpeg[: len(jpeg) // 2] + b"\xff\xd9",
        "phone.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    }
    files = make_files({"a": good, "b": bad})
    images = decode_images(files, SPEC, skip_damaged=True)
    assert images.labels.tolist() == [0, 0, 0]
    first, second = images.skipped
    assert first.startswith("b/half.jpg: expected a complete JPEG file")
    assert second.startswith("b/phone.heic: expected a JPEG, PNG, WebP or AVIF file; found what")
    for i, name in enumerate(files.names):
        if name.startswith("b/"):
            with pytest.raises(InvalidImage):
                decode_image(files.read(i))


@pytest.mark.parametrize("workers", [1, 5])
def test_order_is_that_of_the_files_whatever_the_workers(workers: int) -> None:
    files = all_kinds()
    images = decode_images(files, SPEC, workers=workers)
    assert images.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(images.pixels, decode_images(files, SPEC).pixels)


@pytest.fixture
def damaged() -> ImageFiles:
    good = encoded(Image.new("RGB", (12, 12), "red"), "JPEG")
    return make_files(
        {"a": {"good.jpg": good, "cut.jpg": good[:120]}, "b": {"notes.txt": b"no", "x.jpg": good}}
    )


def test_damaged_files_are_all_named(damaged: ImageFiles) -> None:
    with pytest.raises(DamagedImages, match=r"2 of 4 files are none") as caught:
        decode_images(damaged, SPEC, skip_damaged=False)
    for expected in (
        "a/cut.jpg: ",
        "b/notes.txt: expected a JPEG, PNG, WebP or AVIF",
        "--skip-damaged",
    ):
        assert expected in str(caught.value)
    with pytest.raises(DamagedImages, match=r"Repair or remove them\.$"):
        decode_images(damaged, SPEC)  # of a command that cannot skip them


def test_damaged_files_are_left_out_only_when_asked(damaged: ImageFiles) -> None:
    images = decode_images(damaged, SPEC, skip_damaged=True)
    assert images.labels.tolist() == [0, 1]
    assert [line.split(":")[0] for line in images.skipped] == ["a/cut.jpg", "b/notes.txt"]
    with pytest.raises(DataError, match="all of 2 files are damaged"):
        decode_images(damaged.select([0, 2]), SPEC, skip_damaged=True)


def test_decoded_pixels_can_be_kept(tmp_path: Path) -> None:
    files = all_kinds()
    fresh = decode_images(files, SPEC, cache=tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    again = decode_images(files, SPEC, cache=tmp_path / "cache")
    assert torch.equal(fresh.pixels, again.pixels)
    assert torch.equal(fresh.labels, again.labels)
    np.save(kept, np.zeros_like(np.load(kept)))
    assert not decode_images(files, SPEC, cache=tmp_path / "cache").pixels.any()
    other = Preprocessing(8, 8, "bilinear", MEAN, STD)
    assert decode_images(files, other, cache=tmp_path / "cache").pixels.any()


def test_damaged_pixels_in_the_cache_are_named(tmp_path: Path) -> None:
    files = all_kinds()
    decode_images(files, SPEC, cache=tmp_path)
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    for cut in (0, 60, 200, len(whole) - 1):
        kept.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=rf"{kept.name}: expected decoded pixels .* Remove"):
            decode_images(files, SPEC, cache=tmp_path)
    np.save(kept, np.zeros((5, 3, 8, 8), np.uint8))
    with pytest.raises(DataError, match="found another array"):
        decode_images(files, SPEC, cache=tmp_path)


def test_runs_may_keep_the_same_pixels_at_once(tmp_path: Path) -> None:
    files, cache = all_kinds(), tmp_path / "cache"
    start = threading.Barrier(8)

    def decode() -> torch.Tensor:
        start.wait(timeout=10)
        return decode_images(files, SPEC, workers=1, cache=cache).pixels

    with ThreadPoolExecutor(8) as runs:
        pixels = [run.result() for run in [runs.submit(decode) for _ in range(8)]]
    assert all(torch.equal(pixels[0], other) for other in pixels)
    assert [path.suffix for path in cache.iterdir()] == [".npy"]


def test_folder_of_images_with_every_file(tmp_path: Path) -> None:
    write_image(tmp_path / "a" / "1.png")
    write_image(tmp_path / "b" / "2.png")
    (tmp_path / "b" / "notes.txt").write_bytes(b"x")
    with pytest.raises(DamagedImages, match=r"b/notes\.txt"):
        decode_images(read_folder(tmp_path, every_file=True), SPEC)
    assert len(decode_images(read_folder(tmp_path), SPEC)) == 2
