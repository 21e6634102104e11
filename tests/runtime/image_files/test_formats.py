"""runtime.image_files.formats: what first bytes are accepted and refused, by which name."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import UnsupportedImage, decode_image
from runtime.image_files.formats import list_brands, sniff_format
from tests.runtime.images import encode, make_box, make_photo


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_formats_that_are_read(kind: str) -> None:
    assert sniff_format(encode(make_photo(), kind)) == kind


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO", "JPEG2000", "PDF"])
def test_formats_that_pillow_writes_are_refused_by_name(kind: str) -> None:
    name = {"JPEG2000": "JPEG 2000"}.get(kind, kind)
    with pytest.raises(UnsupportedImage, match=f"expected a JPEG, PNG, WebP or AVIF.*like {name}"):
        decode_image(encode(make_photo(), kind))


def brand(major: bytes, *others: bytes) -> bytes:
    return make_box(b"ftyp", major + bytes(4) + b"".join(others))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"PK\3\4", "ZIP"),
        (b"8BPS\0\1", "Photoshop"),
        (b"II\xbc\x01", "JPEG XR"),
        (b"II+\0\x08\0\0\0", "TIFF"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0\x2f", "JPEG 2000"),
        (b"\xff\x10\xff\x50", "JPEG XS"),
        (brand(b"heic", b"mif1", b"heic"), "HEIC.*Send it as JPEG"),
        (brand(b"mif1", b"mif1", b"heic"), "HEIC.*Send it as JPEG"),
        (brand(b"heix"), "HEIC"),
        (brand(b"msf1", b"hevc"), "HEIC"),
        (brand(b"mif1", b"miaf"), "HEIF.*Send it as JPEG"),
        (brand(b"crx ", b"isom"), "raw file of a camera.*JPEG that the camera"),
        (brand(b"jxl "), "JPEG XL"),
        (brand(b"isom", b"mp42"), "video.*single image"),
        (brand(b"qt  "), "video"),
        (b"\0\0\0\x18ftyp", "video"),
        (b"hello", "another format"),
        (b"RIFF\x10\0\0\0WAVE", "another format"),
        (b"\xff\xd8", "another format"),
    ],
)
def test_others_are_refused_by_name(data: bytes, text: str) -> None:
    with pytest.raises(UnsupportedImage, match=text):
        decode_image(data)


@pytest.mark.parametrize(
    "data", [brand(b"mif1", b"avif"), brand(b"avis", b"msf1"), brand(b"mif1", b"miaf", b"avif")]
)
def test_avif_is_told_by_any_of_the_brands(data: bytes) -> None:
    assert sniff_format(data) == "AVIF"


def test_brands_end_with_their_box() -> None:
    assert list_brands(brand(b"mif1", b"avif") + b"heic") == [b"mif1", b"avif"]
    assert len(list_brands(brand(b"mif1", *[b"avif"] * 10_000))) == 65


@given(st.binary(max_size=40), st.sampled_from([b"", b"\0\0\0\x14ftyp", b"\0\0\0\0ftyp"]))
def test_any_bytes_have_a_format_or_are_refused(tail: bytes, start: bytes) -> None:
    with contextlib.suppress(UnsupportedImage):
        assert sniff_format(start + tail) in ("JPEG", "PNG", "WEBP", "AVIF")
