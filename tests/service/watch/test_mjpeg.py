"""service.watch.mjpeg: any pieces of a stream give the same images; and streams that never end
a part.
"""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.watch.frames import BrokenStream
from service.watch.mjpeg import MjpegSplitter

LIMIT = 1000


def split(boundary: str, stream: bytes, cuts: list[int], limit: int = LIMIT) -> list[bytes]:
    """The images of a stream that comes in pieces; the last one is `fault` if it is broken."""
    splitter = MjpegSplitter(boundary, limit)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    images: list[bytes] = []
    try:
        for begin, end in pairwise(edges):
            for image in splitter.feed(stream[begin:end]):
                assert len(splitter._held) <= limit + 8192 + (end - begin) + 300
                images.append(image)
    except BrokenStream:
        images.append(b"fault")
    return images


# Bytes that look like what surrounds an image; no boundary of the tests is among them.
_pieces = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b"-", b"--", b"\xff\xd8", b"\xff\xd9", b"a", b"\0"]
)
_images = st.lists(_pieces, min_size=1, max_size=30).map(b"".join)
_boundaries = st.sampled_from(["frame", "--frame", "a.b+c", "----x--y", "boundary donotcross"])
_cuts = st.lists(st.integers(0, 600), max_size=12)


@given(
    images=st.lists(_images, max_size=6),
    boundary=_boundaries,
    line=st.sampled_from([b"\r\n", b"\n"]),
    has_lengths=st.booleans(),
    is_quoted=st.booleans(),
    has_end=st.booleans(),
    preamble=st.sampled_from([b"", b"\r\n", b"ignore this\r\n"]),
    cuts=_cuts,
)
def test_any_pieces_give_the_images_that_were_sent(
    images: list[bytes],
    boundary: str,
    line: bytes,
    has_lengths: bool,
    is_quoted: bool,
    has_end: bool,
    preamble: bytes,
    cuts: list[int],
) -> None:
    """`is_quoted`: two dashes come before a boundary that has dashes of its own."""
    delimiter = boundary.encode()
    if is_quoted or not boundary.startswith("--"):
        delimiter = b"--" + delimiter
    if not has_lengths:  # what an image ends with must not run into the delimiter
        images = [image + b"\xff\xd9" for image in images]
    stream = preamble
    for image in images:
        length = b"Content-Length: %d" % len(image) + line if has_lengths else b""
        stream += delimiter + line + b"Content-Type: image/jpeg" + line + length + line
        stream += image + line
    stream += delimiter + (b"--" if has_end else line)
    assert split(boundary, stream, cuts) == images


@given(
    stream=st.lists(
        st.one_of(
            _pieces,
            st.sampled_from(
                [
                    b"--frame",
                    b"--frame\r\n",
                    b"--frame--",
                    b"--frame \n",
                    b"\r\n\r\n",
                    b"Content-Length: 7\r\n",
                    b"\ncontent-length:0\n\n",
                    b"Content-Length: 2000\r\n",
                    b"Content-Type: text/plain\r\n",
                    b"x" * 700,
                    b"h" * 9000,
                ]
            ),
        ),
        max_size=30,
    ).map(b"".join),
    boundary=st.sampled_from(["frame", "--frame"]),
    cuts=st.lists(st.integers(0, 20_000), max_size=12),
)
def test_any_bytes_give_the_same_in_any_pieces(
    stream: bytes, boundary: str, cuts: list[int]
) -> None:
    whole = split(boundary, stream, [])
    assert split(boundary, stream, cuts) == whole
    assert split(boundary, stream, list(range(len(stream)))[-2000:]) == whole
    assert all(len(image) <= LIMIT + 2 for image in whole)


@pytest.mark.parametrize("size", range(1, 130))
def test_pieces_of_every_size(size: int) -> None:
    """Long and short images in turns, and delimiters with all the spaces that they may have."""
    images = [b"x" * length + b"\xff\xd9" for length in (90, 1, 250, 30, 2, 60, 3)]
    delimiter = b"--frame" + b" " * 16 + b"\r\n"
    stream = b"junk" * 40 + b"".join(
        delimiter + b"Content-Type: image/jpeg\r\n\r\n" + image + b"\r\n" for image in images
    )
    stream += delimiter
    assert split("frame", stream, list(range(0, len(stream), size))) == images


def test_other_parts_than_images_are_left_out() -> None:
    stream = (
        b"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
        b"--b\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n--b\r\n"
        b"--b\r\nContent-Type: IMAGE/PNG; x=1\r\n\r\nimage\r\n--b\r\n\r\nbare\r\n--b--junk"
    )
    assert split("b", stream, []) == [b"image", b"bare"]


def test_half_an_image_is_none() -> None:
    head = b"--b\r\nContent-Length: 10\r\n\r\n"
    assert split("b", head + b"0123456789" + head + b"01234", []) == [b"0123456789"]
    assert split("b", b"--b\r\n\r\n01234", []) == []


def test_a_wrong_length_costs_no_more_than_its_neighbour() -> None:
    parts = b"".join(
        b"--b\r\nContent-Length: %s\r\n\r\nimage%d\r\n" % (length, number)
        for number, length in enumerate([b"4", b"6", b"-1", b"6", b"x", b"6"])
    )
    images = split("b", parts + b"--b--", [])
    assert images == [b"imag", b"image1", b"image2", b"image3", b"image4", b"image5"]


@pytest.mark.parametrize("boundary", ["", "  ", "--", "x" * 201])
def test_a_stream_without_a_boundary_is_none(boundary: str) -> None:
    with pytest.raises(BrokenStream, match=r"expected .*boundary.*; found none\. "):
        MjpegSplitter(boundary, LIMIT)


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"", "a boundary between images within 1000"),
        (b"--b\r\nContent-Length: 1\r\n\r\nx", "a boundary between images within 1000"),
        (b"--b\r\n\r\n", "images of at most 1000 bytes"),
        (b"--b\r\nContent-Length: 1001\r\n\r\n", "images of at most 1000 bytes"),
        (b"--b\r\nX: ", "the head of an image within 8192"),
    ],
)
def test_what_never_ends_is_told_by_name_before_it_fills_the_memory(
    stream: bytes, text: str
) -> None:
    splitter = MjpegSplitter("b", LIMIT)
    list(splitter.feed(stream[:-1]))

    def go_on() -> None:
        pieces = [stream[-1:], *[b"y" * 100] * 100]
        for piece in pieces:
            list(splitter.feed(piece))
            assert len(splitter._held) < 10_000

    with pytest.raises(BrokenStream, match=re.escape(text)):
        go_on()
