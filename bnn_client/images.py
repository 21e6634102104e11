"""Reads an image to send: a path, an open file, or bytes."""

import os
from pathlib import Path
from typing import Protocol


class Readable(Protocol):
    """A file that is open for reading bytes."""

    def read(self) -> bytes:
        """The rest of its bytes."""
        ...


#: A path (text is a path), the bytes of an image file, or a file that is open in binary mode.
ImageSource = str | os.PathLike[str] | bytes | bytearray | memoryview | Readable


def read_image(image: ImageSource) -> bytes:
    """The bytes of an image file. Raises OSError, and TypeError for other arguments."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | os.PathLike):
        return Path(image).read_bytes()
    if not hasattr(image, "read"):
        raise TypeError(f"expected a path, bytes or an open file; found {type(image).__name__}")
    content: object = image.read()
    if not isinstance(content, bytes):
        raise TypeError("expected a file that is open in binary mode; found text. Use mode 'rb'.")
    return content
