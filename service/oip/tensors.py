"""Converts the data of the input, JSON or bytes, into what the workers need."""

import base64
import binascii
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from service.messages.problems import Problem
from service.oip.errors import refuse

_LENGTH_BYTES = 4  # before each element of BYTES
_MAX_DIMS = 8

Tensor = npt.NDArray[np.float32]


def check_shape(shape: list[int], dims: tuple[int, ...], most: int, name: str) -> int:
    """The number of images in a tensor [n, *dims], at most `most`; one image may omit the n.

    Raises Problem bad_request.
    """
    wanted = f"the shape [n{''.join(f', {dim}' for dim in dims)}] of {name}, n from 1 to {most}"
    if len(shape) > _MAX_DIMS:
        raise refuse(wanted, "more dimensions")
    if dims == (1,) and len(shape) == 1:  # of image files, [n] is as good as [n, 1]
        shape = [*shape, 1]
    images, rest = (1, shape) if len(shape) == len(dims) else (shape[0] if shape else 0, shape[1:])
    if tuple(rest) != dims:
        raise refuse(wanted, "another one")
    if not 1 <= images <= most:
        raise refuse(wanted, "no image" if images < 1 else "more images", "Send several requests.")
    return images


def read_binary_tensors(data: memoryview, images: int, dims: tuple[int, ...]) -> list[Tensor]:
    """FP32, little-endian: one tensor of these dims for each image, with memory of its own.

    Raises Problem bad_request.
    """
    expected = 4 * images * int(np.prod(dims))
    if len(data) != expected:
        raise refuse(f"{expected} bytes of FP32 for the shape", f"{len(data)}")
    whole = np.frombuffer(data, "<f4").reshape(images, *dims)
    return [_check_finite(np.array(tensor, np.float32)) for tensor in whole]


def read_json_tensors(data: list[Any], images: int, dims: tuple[int, ...]) -> list[Tensor]:
    """The same from JSON: row by row, flat or nested as the shape says. Raises Problem."""
    numbers = _flatten(data, (images, *dims))
    if not set(map(type, numbers)) <= {int, float}:
        raise refuse("numbers in data", "something else")
    try:
        with np.errstate(over="ignore"):  # what FP32 cannot hold becomes infinity
            whole = np.array(numbers, np.float64).astype(np.float32).reshape(images, *dims)
    except OverflowError as fault:
        raise _describe_not_finite() from fault
    return [_check_finite(np.array(tensor)) for tensor in whole]


def read_binary_files(data: memoryview, images: int) -> list[bytes]:
    """BYTES: for each element four bytes of its length, little-endian, then the element.

    Raises Problem bad_request.
    """
    files: list[bytes] = []
    place = 0
    for index in range(images):
        start = place + _LENGTH_BYTES
        place = start + int.from_bytes(data[place:start], "little")
        if start > len(data) or place > len(data):
            raise refuse(f"{images} elements of BYTES, each after its length", "fewer bytes")
        files.append(_check_file(bytes(data[start:place]), index))
    if place != len(data):
        raise refuse(f"{images} elements of BYTES, each after its length", "more bytes")
    return files


def read_json_files(data: list[Any], images: int) -> list[bytes]:
    """The same from JSON: each file as base64 text (RFC 4648). Raises Problem bad_request."""
    texts = _flatten(data, (images, 1))
    try:
        return [
            _check_file(base64.b64decode(text, validate=True), index)
            for index, text in enumerate(texts)
        ]
    except (TypeError, ValueError, binascii.Error) as fault:  # no text, not ASCII, not base64
        raise refuse(
            "image files as texts in base64", "something else", "Send them so, or as binary data."
        ) from fault


def encode_texts(texts: list[str]) -> bytes:
    """Texts as BYTES, UTF-8."""
    encoded = [text.encode() for text in texts]
    return b"".join(len(text).to_bytes(_LENGTH_BYTES, "little") + text for text in encoded)


def _flatten(data: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """The elements of a flat or nested array."""
    elements = data
    if data and isinstance(data[0], list):
        elements = [data]
        for dim in shape:
            if any(type(inner) is not list or len(inner) != dim for inner in elements):
                raise refuse("data as its shape says, flat or nested", "another form")
            elements = list(chain.from_iterable(elements))
    if len(elements) != int(np.prod(shape)):
        raise refuse("as many elements in data as the shape says", "another number")
    return elements


def _check_finite(tensor: Tensor) -> Tensor:
    if not np.isfinite(tensor).all():
        raise _describe_not_finite()
    return tensor


def _check_file(file: bytes, index: int) -> bytes:
    if not file:
        raise refuse(f"an image file as element {index}", "0 bytes")
    return file


def _describe_not_finite() -> Problem:
    return refuse("finite numbers that FP32 can hold", "NaN or infinity")
