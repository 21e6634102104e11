"""service.oip.tensors: data of every form becomes the images, or is refused."""

import base64
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from service.messages.problems import Problem
from service.oip.tensors import (
    check_shape,
    encode_texts,
    read_binary_files,
    read_binary_tensors,
    read_json_files,
    read_json_tensors,
)
from tests.service.oip.bodies import attempt, encode_files

DIMS = (3, 2, 4)
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
IMAGES = st.integers(1, 3).flatmap(lambda n: arrays.arrays(np.float32, (n, *DIMS), elements=FINITE))
FILES = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("shape", "dims", "images"),
    [
        *(([1, 3, 2, 4], DIMS, 1), ([4, 3, 2, 4], DIMS, 4), ([3, 2, 4], DIMS, 1)),
        *(([1], (1,), 1), ([4], (1,), 4), ([4, 1], (1,), 4), ([1, 1], (1,), 1)),
    ],
)
def test_shapes(shape: list[int], dims: tuple[int, ...], images: int) -> None:
    assert check_shape(shape, dims, 4, "input") == images


@pytest.mark.parametrize(
    "shape",
    [
        *([], [1], [0, 3, 2, 4], [5, 3, 2, 4], [-1, 3, 2, 4], [1, 3, 4, 2], [1, 1, 3, 2, 4]),
        *([2**63, 3, 2, 4], [10**30, 3, 2, 4], [1, -3, -2, 4], [1] * 1000, [24]),
    ],
)
def test_other_shapes_are_refused(shape: list[int]) -> None:
    with pytest.raises(Problem, match=r"bad_request: expected the shape \[n, 3, 2, 4\] of input"):
        check_shape(shape, DIMS, 4, "input")


@pytest.mark.parametrize("shape", [[0], [5], [2, 2], [1, 0], [0, 1], []])
def test_other_shapes_of_files_are_refused(shape: list[int]) -> None:
    with pytest.raises(Problem, match="bad_request"):
        check_shape(shape, (1,), 4, "image_bytes")


@given(images=IMAGES, shift=st.integers(0, 3))
def test_tensors_as_bytes(images: np.ndarray, shift: int) -> None:
    """The bytes begin anywhere: what comes out of them is aligned and has its own memory."""
    body = b"." * shift + images.astype("<f4").tobytes()
    read = read_binary_tensors(memoryview(body)[shift:], len(images), DIMS)
    assert np.array_equal(np.stack(read), images)
    for tensor in read:
        assert tensor.flags.aligned
        assert tensor.flags.c_contiguous
        assert tensor.base is None
        assert tensor.dtype == np.float32


@given(images=IMAGES, is_flat=st.booleans())
def test_tensors_as_json(images: np.ndarray, is_flat: bool) -> None:
    data = (images.ravel() if is_flat else images).tolist()
    read = read_json_tensors(data, len(images), DIMS)
    assert np.array_equal(np.stack(read), images)
    assert all(tensor.dtype == np.float32 for tensor in read)


@pytest.mark.parametrize("bytes_more", [-96, -1, 1, 4, 96])
def test_bytes_that_do_not_fit_the_shape(bytes_more: int) -> None:
    with pytest.raises(Problem, match=f"expected 96 bytes.*found {96 + bytes_more}"):
        read_binary_tensors(memoryview(bytes(96 + bytes_more)), 1, DIMS)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 23, 24, 47])
def test_nan_and_infinity_are_refused_by_name(value: float, place: int) -> None:
    images = np.zeros((2, *DIMS), np.float32)
    images.ravel()[place] = value
    for read in (
        lambda: read_binary_tensors(memoryview(images.tobytes()), 2, DIMS),
        lambda: read_json_tensors(images.ravel().tolist(), 2, DIMS),
    ):
        with pytest.raises(Problem, match="found NaN or infinity"):
            read()


@pytest.mark.parametrize("value", [1e39, -1e300, 10**400, -(10**400)])
def test_numbers_beyond_fp32_are_refused(value: float) -> None:
    with pytest.raises(Problem, match="finite numbers that FP32 can hold"):
        read_json_tensors([value] * 24, 1, DIMS)


@pytest.mark.parametrize("value", ["1", True, None, {}, [1], [[]]])
def test_elements_that_are_no_numbers(value: object) -> None:
    for data in ([value] * 24, [0.5] * 23 + [value]):
        with pytest.raises(Problem, match="bad_request"):
            read_json_tensors(data, 1, DIMS)


@pytest.mark.parametrize(
    "data",
    [[], [1] * 23, [1] * 25, [[1] * 24], [[[[1] * 4] * 3] * 2], [[[[1] * 4] * 2] * 2 + [1]]],
)
def test_nesting_that_is_not_the_shape(data: list[Any]) -> None:
    with pytest.raises(Problem, match="bad_request"):
        read_json_tensors(data, 1, DIMS)


def test_whole_numbers_and_the_smallest_are_numbers() -> None:
    (tensor,) = read_json_tensors([0, 1, -5, 2**40, 1e-45, 255] * 4, 1, DIMS)
    assert tensor.ravel()[:6].tolist() == [0, 1, -5, 2.0**40, np.float32(1e-45), 255]


@given(files=FILES)
def test_files_as_bytes_and_as_base64(files: list[bytes]) -> None:
    assert read_binary_files(memoryview(encode_files(*files)), len(files)) == files
    texts = [base64.b64encode(file).decode() for file in files]
    assert read_json_files(texts, len(files)) == files
    assert read_json_files([[text] for text in texts], len(files)) == files


@given(files=FILES, images=st.integers(1, 5), cut=st.integers(0, 60), more=st.binary(max_size=9))
def test_elements_that_run_past_the_end(
    files: list[bytes], images: int, cut: int, more: bytes
) -> None:
    whole = encode_files(*files)
    data = whole[: max(0, len(whole) - cut)] + more
    read = attempt(lambda: read_binary_files(memoryview(data), images))
    if read is not None:
        assert encode_files(*read) == data
        assert len(read) == images


@pytest.mark.parametrize("data", [b"", b"\x01", b"\xff\xff\xff\xff", b"\x05\0\0\0abcd", bytes(4)])
def test_bytes_that_are_no_element(data: bytes) -> None:
    with pytest.raises(Problem, match="bad_request"):
        read_binary_files(memoryview(data), 1)


@pytest.mark.parametrize(
    "text", ["", "a", "!!!!", "aGk", "aGk=\n", "é", "data:;base64,aGk=", 1, None]
)
def test_texts_that_are_no_base64(text: object) -> None:
    with pytest.raises(Problem, match="bad_request"):
        read_json_files([text], 1)


def test_texts_become_elements() -> None:
    assert encode_texts(["a", "äö"]) == b"\1\0\0\0a\4\0\0\0" + "äö".encode()
