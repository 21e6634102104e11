"""Recognises the format of a file of unknown origin by its first bytes; refused formats are named.

The name helps: a person who sends a file of an iPhone or a camera learns what to send instead.
"""

import struct

from runtime.image_files.faults import unsupported

_AVIF = frozenset({b"avif", b"avis"})
_HEIF = frozenset({b"mif1", b"msf1", b"mif2", b"mif3"})  # of the container, whatever is coded in it
_MAX_BRANDS = 64
_CAMERA = "Send the JPEG that the camera can write beside it."
_PHONE = (
    "Send it as JPEG; an iPhone takes JPEG with Settings, Camera, Formats, Most Compatible, and "
    "converts when it shares."
)
# Formats that people send and that are refused: where their signature lies, what it is.
_REFUSED = (
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II\xbc\x01", "JPEG XR"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\xff\x10\xff\x50", "JPEG XS"),
    (0, b"\x8aMNG", "MNG"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\0\0\1\0", "ICO"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"PK\3\4", "a ZIP archive"),
    (0, b"<", "SVG, HTML or XML"),
)
# The same by the brand of an ISO base media file, the four letters after "ftyp".
_BRANDS = (
    (b"he", "HEIC", _PHONE),
    (b"jxl", "JPEG XL", None),
    (b"jp", "JPEG 2000", None),
    (b"crx", "a raw file of a camera", _CAMERA),
)


def sniff_format(data: bytes) -> str:
    """JPEG, PNG, WEBP or AVIF, Pillow's names.

    Raises:
        UnsupportedImage: none of these.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _sniff_brands(data)
    for offset, magic, name in _REFUSED:
        if data.startswith(magic, offset):
            raise unsupported(f"what looks like {name}")
    raise unsupported("another format")


def list_brands(data: bytes) -> list[bytes]:
    """The brands of an ISO base media file, the major one first: what it says that it is."""
    (length,) = struct.unpack_from(">I", data)
    end = min(length or len(data), len(data), 16 + 4 * _MAX_BRANDS)
    return [data[8:12], *(data[start : start + 4] for start in range(16, end - 3, 4))]


def _sniff_brands(data: bytes) -> str:
    brands = list_brands(data)
    if _AVIF.intersection(brands):
        return "AVIF"
    for prefix, name, remedy in _BRANDS:
        if any(brand.startswith(prefix) for brand in brands):
            found = f"what looks like {name}"
            raise unsupported(found, remedy) if remedy else unsupported(found)
    if _HEIF.intersection(brands):  # with another codec than AVIF's and HEIC's
        raise unsupported("what looks like HEIF", _PHONE)
    raise unsupported("what looks like a video", "Send a single image.")
