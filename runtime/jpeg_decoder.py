"""Drives Pillow's JPEG decoder by hand, to learn whether the image was complete.

libjpeg fills up what is missing of an image as soon as it meets a marker, and its warning goes
unheard. Without one it waits for more. So it gets the entropy-coded bytes without the marker at
their end, and after them bytes that are no marker: where the image was complete they are skipped,
else they are not enough and the decoder still waits. All bytes are handed over at once, which also
spares copies.
"""

import io
from typing import Any

from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from runtime.image_faults import incomplete

# Ones, which are in no code: a block that is missing is not made of fewer than 34. The decoder
# reads 8 bytes ahead; a file that lacks as many at its end may pass, with two blocks wrong.
_FILL = b"\xff\x00"
_AHEAD = 8
_END = b"\xff\xd9"


def decode_scans(head: bytes, body: memoryview, scale: int, *, several: bool) -> Image.Image:
    """The image of a JPEG, in mode L, RGB or CMYK, at 1 / scale of its size.

    `head` is the header, the first scan's included; `body` the entropy-coded bytes of all scans,
    with what stands between them, `several` whether the decoder reads all before the first pixel.

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
        if several and not feed.finished:
            feed(_FILL)
            if not feed.waiting:
                feed(_END)
        if not feed.finished:
            raise incomplete("JPEG")
    finally:
        decoder.cleanup()
    image.tile = []
    return image


class _Feed:
    """Hands bytes to a decoder, those that it left the last time before them."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self.waiting: bytes | memoryview = b""
        self.finished = False

    def __call__(self, data: bytes | memoryview) -> None:
        if self.finished:
            return
        if self.waiting:
            data = b"".join((self.waiting, data))
        taken, error = self._decoder.decode(data)
        self.finished = taken < 0
        if self.finished and error < 0:
            raise ImageFile._get_oserror(error, encoder=False)
        self.waiting = data[max(taken, 0) :]
