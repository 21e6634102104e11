"""Drives Pillow's JPEG decoder by hand, to learn whether the image was complete.

libjpeg fills up what is missing of an image as soon as it meets a marker, and its warning goes
unheard. Without one it waits for more. So it gets the entropy-coded bytes without the marker at
their end, and after them bytes that are no marker. Where the image was complete it skips these, one
after the other; else it takes them for the rest of the image, which they do not suffice for, and
takes them eight at a time. An image of one scan is finished without its end marker, one of several
only with it.
"""

import io
from collections.abc import Callable
from typing import Any

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from runtime.image_files.faults import incomplete

# Ones alone are no code: the decoder makes a missing block of 34 of them. It reads 8 bytes ahead,
# so that an image which lacks its last block or two, of thousands, is not found incomplete.
_FILL = b"\xff\x00"
_AHEAD = 8
_RESTART = 0xD0
_END = b"\xff\xd9"


def decode_scans(
    head: bytes, body: memoryview, scale: int, next_restart: int | None
) -> Image.Image:
    """The image of a JPEG, in mode L, RGB or CMYK, at 1 / scale of its size.

    `head` is the header, the first scan's included; `body` the entropy-coded bytes of all scans,
    with what stands between them. `next_restart` is None where there is but one scan; else the
    number, 0 to 7, that a further restart marker of the last scan would have.

    Raises:
        InvalidImage: the last scan is cut off.
        OSError: a damaged file, or too little memory.
    """
    image = JpegImageFile(io.BytesIO(head))
    if scale > 1:
        image.draft(None, (max(image.width // scale, 1), max(image.height // scale, 1)))
    [(codec, extents, _, arguments)] = image.tile
    image.load_prepare()
    decoder = Image._getdecoder(image.mode, codec, arguments, image.decoderconfig)
    try:
        decoder.setimage(image.im, extents)
        feed = _Feed(decoder)
        feed(head)
        feed(body)
        feed(_FILL * _AHEAD)
        if next_restart is not None and _skips(feed):
            feed(bytes([0xFF, _RESTART + next_restart]))  # in case that it looks for this one
            if _skips(feed):
                feed(_END)
        if not feed.finished:
            raise incomplete("JPEG")
    finally:
        decoder.cleanup()
    image.tile = []
    return image


def _skips(feed: Callable[[bytes], bool]) -> bool:
    return feed(_FILL) and feed(_FILL)


class _Feed:
    """Hands bytes to a decoder, those that it left the last time before them."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._left: bytes | memoryview = b""
        self.finished = False

    def __call__(self, data: bytes | memoryview) -> bool:
        """Whether the decoder took all."""
        if self.finished:
            return True
        if self._left:
            data = b"".join((self._left, data))
        taken, error = self._decoder.decode(data)
        self.finished = taken < 0
        if self.finished and error < 0:
            raise ImageFile._get_oserror(error, encoder=False)
        self._left = b"" if self.finished else data[taken:]
        return not self._left
