"""service.requests.body: every odd way to send an image, byte by byte, in any cut and at any
pace.
"""

import asyncio
import contextlib
import mmap
import re
import time
import weakref
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from python_multipart.multipart import MultipartParser

import service.requests.body
from service.messages.exchange import ClientGone, Exchange
from service.messages.problems import Problem
from service.requests.body import (
    FIELD,
    BodyLimits,
    Part,
    measure_announced,
    read_body,
    read_file,
    read_images,
    read_small_body,
    split_form,
)
from service.settings.settings import Settings

pytestmark = pytest.mark.anyio
FORM = "multipart/form-data; boundary=XX"
END = b"--XX--\r\n"


def make_part(disposition: str, content: bytes, *headers: str) -> bytes:
    """One part of a form with the boundary XX."""
    lines = "".join(f"{line}\r\n" for line in (f"Content-Disposition: {disposition}", *headers))
    return b"--XX\r\n" + lines.encode() + b"\r\n" + content + b"\r\n"


def make_file(content: bytes, name: str = "image", *headers: str) -> bytes:
    """A file part."""
    return make_part(f'form-data; name="{name}"; filename="a.jpg"', content, *headers)


class Pauses:
    """A ticket that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def stall(self, received: int) -> None:
        self.told.append(received)

    def resume(self) -> None:
        self.told.append("resume")

    def grow(self, received: int) -> None:
        self.received = received


def make_exchange(
    content_type: str | None,
    chunks: list[bytes],
    headers: dict[str, str] | None = None,
    pause: float = 0,
) -> Exchange:
    """A request whose body arrives in these chunks, with a pause before each."""
    queue = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    queue.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause)
        return queue.pop(0)

    every = {**({"content-type": content_type} if content_type else {}), **(headers or {})}
    if "content-length" not in every:
        every["transfer-encoding"] = "chunked"
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in every.items()]
    return Exchange({"type": "http", "method": "POST", "headers": pairs}, receive, 0.0)


def watch_blocks(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Any]]:
    """The memory of the blocks that files arrive in from now on, as long as it is there."""
    blocks: list[weakref.ref[Any]] = []
    make_block = service.requests.body._make_block

    def note(size: int) -> memoryview:
        block = make_block(size)
        blocks.append(weakref.ref(block.obj))
        return block

    monkeypatch.setattr(service.requests.body, "_make_block", note)
    return blocks


async def read(
    content_type: str | None,
    chunks: list[bytes],
    headers: dict[str, str] | None = None,
    max_bytes: int = 10_000,
    most: int = 1,
) -> list[bytes | memoryview]:
    """The images of a request whose body arrives in these chunks."""
    ticket: Any = Pauses()
    limits = BodyLimits(max_bytes, 60.0, 1024)
    return await read_images(make_exchange(content_type, chunks, headers), limits, ticket, most)


def cut(body: bytes, step: int) -> list[bytes]:
    """The body in pieces of so many bytes."""
    return [body[at : at + step] for at in range(0, len(body), step)]


@pytest.mark.parametrize(
    "content_type",
    [None, "image/jpeg", "application/octet-stream", "application/x-www-form-urlencoded", "x", ";"],
)
async def test_any_other_type_is_the_bare_image(content_type: str | None) -> None:
    assert await read(content_type, [b"\xff\xd8", b"rest"]) == [b"\xff\xd8rest"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (make_file(b"bytes") + END, b"bytes"),
        (make_file(b"") + END, None),
        (make_file(b"bytes", "image", "Content-Type: text/plain") + END, b"bytes"),
        (make_file(b"a\r\n--X\r\n--X") + END, b"a\r\n--X\r\n--X"),
        (make_part('form-data; name="image"; filename=""', b"bytes") + END, b"bytes"),
        (make_part('form-data; name="image"; filename=""', b"") + END, None),
        (make_part("form-data; name=image; filename=a", b"bytes") + END, b"bytes"),
        (make_part("FORM-DATA; NAME=image; FileName=a", b"bytes") + END, b"bytes"),
        (make_part('form-data;name="image";filename="a"', b"bytes") + END, b"bytes"),
        (make_file(b"bytes") + make_part('form-data; name="note"', b"hello") + END, b"bytes"),
        (make_file(b"other", "thumbnail") + make_file(b"bytes") + END, b"bytes"),
        (make_part('form-data; name="image"; filename="a;b\\".jpg"', b"x") + END, b"x"),
        (make_part('form-data; name="image"; filename="Zürich 東京.jpg"', b"x") + END, b"x"),
        # Some libraries say what they send, or how the file is called in other letters only.
        (make_part('form-data; name="image"', b"x", "Content-Type: image/jpeg") + END, b"x"),
        (make_part('form-data; name="image"', b"x", "content-type: IMAGE/JPEG") + END, b"x"),
        (make_part("form-data; name=\"image\"; filename*=UTF-8''%c3%a9.jpg", b"x") + END, b"x"),
        (make_part('form-data;\r\n name="image";\r\n\tfilename="a.jpg"', b"x") + END, b"x"),
        # RFC 2046: a preamble, an epilogue, spaces after the boundary, a last line without an end.
        (b"\r\n" + make_file(b"bytes") + END, b"bytes"),
        (b"This is a form.\r\n" + make_file(b"bytes") + END, b"bytes"),
        (b"--X\r\n--XXX\r\n\r\n--X--\r\n" + make_file(b"bytes") + END, b"bytes"),
        (make_file(b"bytes").replace(b"--XX", b"--XX \t ") + END, b"bytes"),
        (make_file(b"bytes") + END + b"epilogue", b"bytes"),
        (make_file(b"bytes") + END + make_file(b"ignored"), b"bytes"),
        (make_file(b"bytes") + b"--XX--", b"bytes"),
    ],
)
@pytest.mark.parametrize("step", [1, 3, 10_000])
async def test_forms(body: bytes, expected: bytes | None, step: int) -> None:
    if expected is None:
        with pytest.raises(Problem, match="bad_request: expected an image; found 0 bytes"):
            await read(FORM, cut(body, step))
    else:
        assert await read(FORM, cut(body, step)) == [expected]


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("multipart/form-data", make_file(b"x") + END, "boundary of 1 to 70"),
        ("multipart/form-data; boundary=", make_file(b"x") + END, "boundary of 1 to 70"),
        (f"multipart/form-data; boundary={'X' * 71}", b"", "boundary of 1 to 70"),
        ("multipart/mixed; boundary=XX", make_file(b"x") + END, "another multipart"),
        ("Multipart/Mixed; boundary=XX", make_file(b"x") + END, "another multipart"),
        (FORM, b"", "breaks its rules"),
        (FORM, b"no form at all", "breaks its rules"),
        (FORM, make_file(b"x"), "closed by its boundary"),
        (FORM, make_file(b"x")[:-9], "closed by its boundary"),
        (FORM, b"--XX\r\n" + END, "breaks its rules"),
        (FORM, END, "found 0 among 0"),
        (
            FORM,
            make_file(b"x") + make_file(b"y") + END,
            "exactly one part `image`; found 2 among 2",
        ),
        (FORM, make_file(b"x", "photo") + END, "found 0 among 1"),
        (FORM, make_part('form-data; name="image"', b"a text") + END, "found a text field"),
        (FORM, make_part("form-data", b"x") + END, "found 0 among 1"),
        (FORM, b"--XX\r\n\r\nx\r\n" + END, "found 0 among 1"),
        (FORM, make_file(b"x") + make_part('form-data; name="top_k"', b"3") + END, "top_k=3"),
        (FORM, make_part('form-data; name="a"', b"") * 18 + END, "more than 17"),
        (FORM, b"--XX\r\nA: " + b"b" * 17_000 + b"\r\n\r\nx\r\n" + END, "breaks its rules"),
        (FORM, b"--XX\r\nno end of the headers\r\nx\r\n" + END, "breaks its rules"),
        (FORM, b"--XX\nContent-Disposition: x\n\nx\n--XX--\n", "breaks its rules"),
    ],
)
async def test_what_is_no_form_with_one_image(content_type: str, body: bytes, text: str) -> None:
    with pytest.raises(Problem, match=f"bad_request: expected .*{text}"):
        await read(content_type, [body], max_bytes=100_000)


async def test_a_form_may_have_several_images_where_they_are_asked_for() -> None:
    three = b"".join(make_file(content) for content in (b"a", b"b", b"c")) + END
    assert await read(FORM, [three], most=3) == [b"a", b"b", b"c"]
    with pytest.raises(Problem, match="expected 1 to 2 parts `image`; found 3 among 3"):
        await read(FORM, [three], most=2)
    with pytest.raises(Problem, match="expected 1 to 3 parts `image`; found 0"):
        await read(FORM, [END], most=3)
    assert await read(FORM, [make_file(b"a") + make_file(b"") + END], most=3) == [b"a", b""]
    assert await read("image/png", [b"a"], most=3) == [b"a"]


# ---- against other parsers

TEXTS = st.text("abc XYZ.(-_0", max_size=8)
FALSE_ENDS = [
    *(b"\r\n--", b"\r\n", b"\r", b"\n", b"--", b"-", b" \t", b"x"),
    *(b"\r\n--B", b"\r\n--Boundarx", b"--Boundary", b"\r\n--Boundary"),
]
REAL_END = re.compile(rb"\r\n--Boundary(--|[ \t]*\r\n)")
UNCLEAR_END = re.compile(rb"\r\n--Boundary[ \t\r-]")  # the library takes these for mistakes
CONTENTS = (
    st.lists(st.one_of(st.sampled_from(FALSE_ENDS), st.binary(max_size=6)), max_size=8)
    .map(b"".join)
    .filter(lambda content: not REAL_END.search(b"\r\n" + content + b"\r\n"))
)


@st.composite
def make_forms(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, bool, bytes]]]:
    """A well-formed form with the boundary Boundary; name, whether a file, content of its parts."""
    parts = []
    body = b""
    for _ in range(draw(st.integers(0, 5))):
        name = draw(st.one_of(st.just(FIELD), TEXTS))
        content = draw(CONTENTS)
        has_name = draw(st.booleans())
        kind = draw(st.sampled_from(["", "image/jpeg", "text/plain", "Text/Plain; charset=utf-8"]))
        filename = f'; filename="{draw(TEXTS)}"' if has_name else ""
        head = f'Content-Disposition: form-data; name="{name}"{filename}\r\n'
        head += f"Content-Type: {kind}\r\n" if kind else ""
        body += b"--Boundary\r\n" + head.encode() + b"\r\n" + content + b"\r\n"
        parts.append((name, has_name or kind.startswith("image"), content))
    return body + b"--Boundary--\r\n", parts


def parse_with_library(body: bytes) -> list[tuple[bytes, bytes]]:
    """Head and content of each part, as python-multipart reads them."""
    parts: list[tuple[bytearray, bytearray]] = []

    def add(place: int) -> Callable[[bytes, int, int], None]:
        return lambda data, start, end: parts[-1][place].extend(data[start:end])

    parser = MultipartParser(
        b"Boundary",
        {
            "on_part_begin": lambda: parts.append((bytearray(), bytearray())),
            "on_header_value": add(0),
            "on_part_data": add(1),
        },
    )
    parser.write(body)
    parser.finalize()
    return [(bytes(head), bytes(content)) for head, content in parts]


@settings(max_examples=300)
@given(make_forms())
def test_a_form_is_split_as_another_parser_splits_it(
    form: tuple[bytes, list[tuple[str, bool, bytes]]],
) -> None:
    body, parts = form
    found = split_form(body, b"Boundary")
    for part, (name, is_file, content) in zip(found, parts, strict=True):
        assert (part.name, part.is_file) == (name, is_file)
        assert part.content == (content if name == FIELD and is_file else b"")
    if any(UNCLEAR_END.search(content + b"\r\n") for _, _, content in parts):
        return
    for (head, content), (name, _, written) in zip(parse_with_library(body), parts, strict=True):
        assert f'name="{name}"'.encode() in head
        assert content == written


@settings(max_examples=200)
@given(
    make_forms(),
    st.one_of(st.just(b""), st.binary(max_size=20).map(lambda text: text + b"\r\n")),
    st.binary(max_size=20),
)
def test_what_stands_around_a_form_changes_nothing(
    form: tuple[bytes, list[tuple[str, bool, bytes]]], preamble: bytes, epilogue: bytes
) -> None:
    body, _ = form
    assert split_form(preamble + body + epilogue, b"Boundary") == split_form(body, b"Boundary")


@settings(max_examples=100)
@given(
    make_forms().filter(lambda form: sum(name == FIELD and f for name, f, _ in form[1]) > 0),
    st.lists(st.integers(0, 400), max_size=8),
)
async def test_in_any_cut_of_chunks(
    form: tuple[bytes, list[tuple[str, bool, bytes]]], cuts: list[int]
) -> None:
    body, parts = form
    edges = sorted({0, len(body), *(at for at in cuts if at < len(body))})
    chunks = [body[start:end] for start, end in pairwise(edges)]
    content_type = 'multipart/form-data; boundary="Boundary"'
    whole = await outcome(content_type, [body])
    assert await outcome(content_type, chunks) == whole
    files = [content for name, is_file, content in parts if name == FIELD]
    if isinstance(whole, list):
        assert whole == files


async def outcome(content_type: str, chunks: list[bytes]) -> list[bytes] | str:
    """The images, or what was wrong with the request."""
    try:
        return await read(content_type, chunks, most=5)
    except Problem as problem:
        if problem.code != "bad_request":
            raise
        return problem.detail


FRAGMENTS = st.sampled_from(
    [
        *(b"--XX\r\n", b"--XX--\r\n", b"\r\n", b"\r", b"-", b'"', b"\0", b"name=", b" \t"),
        *(b"Content-Disposition: ", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"),
        b'form-data; name="image"; filename="a"\r\n\r\n',
        b'form-data; name="image"\r\n\r\n',
    ]
)
PIECES = st.lists(st.one_of(FRAGMENTS, st.binary(max_size=12)), max_size=14)


@settings(max_examples=300)
@given(
    PIECES,
    st.integers(1, 40),
    st.sampled_from([FORM, FORM + "; charset=x", 'multipart/form-data; boundary="', "multipart/;"]),
)
async def test_fuzzed_forms_give_bytes_or_a_problem(
    fragments: list[bytes], step: int, content_type: str
) -> None:
    body = b"".join(fragments)
    found = await outcome(content_type, cut(body, step))
    if isinstance(found, list):
        assert all(image in body for image in found)
    else:
        assert found.startswith("expected ")


@settings(max_examples=150)
@given(fragments=PIECES)
async def test_fuzzed_forms_through_http_are_never_a_500(
    shared_client: httpx.AsyncClient, fragments: list[bytes]
) -> None:
    answer = await shared_client.post(
        "/classify", content=b"".join(fragments), headers={"Content-Type": FORM}
    )
    assert 400 <= answer.status_code < 500, answer.text


@settings(max_examples=200)
@given(st.lists(st.sampled_from([*b"form-data;name=\"mg\\fl*='% \t:"]), max_size=40).map(bytes))
@example(b'form-data; name="image"; name=""')
def test_any_disposition_gives_a_part_or_a_problem(disposition: bytes) -> None:
    body = b"--XX\r\nContent-Disposition: " + disposition + b"\r\n\r\nx\r\n--XX--"
    (part,) = split_form(body, b"XX")
    assert isinstance(part, Part)


@pytest.mark.parametrize(
    "body",
    [
        b"\r\n--XX" * 2_000_000,
        b"--XX\r\n" + b"\r\n--XXx" * 1_500_000,
        b"--XX\r\n" + b"A:b\r\n" * 2_000_000,
        b"--XX\r\n\r\n" + b"\r\n--XX " * 1_400_000,
        (b"--XX\r\n\r\n" + b"\r\n--XX!" * 990 + b"\r\n") * 1500,
        b"--XX\r\nContent-Disposition: form-data" + b'; name="' * 2000 + b"\r\n\r\n\r\n" + END,
    ],
    ids=["delimiters", "false ends", "headers", "spaces", "many of each", "options"],
)
def test_hostile_forms_are_little_work(body: bytes) -> None:
    """A parser that begins anew at each false end takes hours."""
    began = time.process_time()
    with contextlib.suppress(Problem):
        split_form(body, b"XX", 16)
    assert time.process_time() - began < 10


# ---- how much, how fast


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 0),
        ({"content-length": "0"}, 0),
        ({"content-length": "100"}, 100),
        ({"content-length": "-1"}, None),
        ({"transfer-encoding": "chunked"}, None),
        ({"content-length": "101"}, "too large"),
        ({"content-length": "9" * 30}, "too large"),
        ({"content-length": "9" * 5000}, "too large"),
    ],
)
def test_the_announced_length_is_known_before_anything_is_read(
    headers: dict[str, str], expected: int | str | None
) -> None:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    exchange = Exchange({"type": "http", "headers": pairs}, None, 0.0)  # type: ignore[arg-type]
    if expected == "too large":
        with pytest.raises(Problem, match="too_large: expected a body of at most 100 bytes"):
            measure_announced(exchange, 100)
    else:
        assert measure_announced(exchange, 100) == expected


@pytest.mark.parametrize("content_type", ["image/png", FORM])
@pytest.mark.parametrize("announced", [{}, {"content-length": "5"}, {"content-length": "-1"}])
async def test_the_limit_is_checked_while_bytes_arrive(
    content_type: str, announced: dict[str, str]
) -> None:
    body = make_file(b"x" * 500) + END
    assert len((await read(content_type, [body], announced, max_bytes=len(body)))[0]) >= 500
    with pytest.raises(Problem, match="too_large"):
        await read(content_type, cut(body, 50) + [b"y"] * 5, announced, max_bytes=len(body) - 1)


async def test_a_small_body_is_read_without_a_ticket() -> None:
    assert await read_small_body(make_exchange(None, [b"ab", b"", b"c"]), 3, 30) == b"abc"
    with pytest.raises(Problem, match="too_large"):
        await read_small_body(make_exchange(None, [b"ab", b"cd"]), 3, 30)
    with pytest.raises(Problem, match=r"body_timeout: .* within 0\.05 s"):
        await read_small_body(make_exchange(None, [b"ab"], pause=5.0), 3, 0.05)


async def test_a_silent_body_is_given_up() -> None:
    ticket: Any = Pauses()
    exchange = make_exchange("image/png", [b"x", b"y"], pause=5.0)
    with pytest.raises(Problem, match=r"body_timeout: .* without a pause of more than 0\.05 s"):
        await read_images(exchange, BodyLimits(100, 0.05, 0), ticket)
    assert ticket.told == [0]


async def test_a_body_that_pauses_gives_its_memory_back_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service.requests.body, "_STALL_SECONDS", 0.01)
    ticket: Any = Pauses()
    exchange = make_exchange("image/png", [b"abc", b"de"], pause=0.2)
    assert await read_images(exchange, BodyLimits(100, 60.0, 0), ticket) == [b"abcde"]
    assert ticket.told == [0, "resume", 3, "resume", 5, "resume"]


@given(
    body=st.binary(min_size=1, max_size=200),
    cuts=st.lists(st.integers(0, 200), max_size=6),
    announced=st.none() | st.integers(0, 220),
    chunked=st.booleans(),
)
async def test_a_file_in_any_cut_whatever_was_announced(
    body: bytes, cuts: list[int], announced: int | None, chunked: bool
) -> None:
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [body[start:end] for start, end in pairwise(places)]
    headers = {} if announced is None else {"content-length": str(announced)}
    if announced == 0 or chunked:
        headers["transfer-encoding"] = "chunked"  # else there is no body
    ticket: Any = Pauses()
    limits = BodyLimits(250, 60.0, 0)
    file = await read_file(make_exchange(None, pieces, headers), limits, ticket)
    assert file == body
    assert await read_body(make_exchange(None, pieces, headers), limits, ticket) == body


async def test_a_file_arrives_in_one_block_of_its_size() -> None:
    ticket: Any = Pauses()
    limits = BodyLimits(100, 60.0, 0)
    headers = {"content-length": "5"}
    cut_file = await read_file(make_exchange(None, [b"ab", b"cde"], headers), limits, ticket)
    assert isinstance(cut_file, memoryview)
    assert cut_file.obj.size == len(cut_file) == 5  # type: ignore[attr-defined]
    whole = await read_file(make_exchange(None, [b"abcde"], headers), limits, ticket)
    assert isinstance(whole, bytes), "it came at once: it is not copied"


@pytest.mark.parametrize("size", [10, service.requests.body._MAPPED_BYTES, 300_000])
async def test_large_blocks_are_mapped(size: int) -> None:
    ticket: Any = Pauses()
    limits = BodyLimits(size, 60.0, 0)
    data = bytes(range(250)) * (size // 250 + 1)
    pieces = cut(data[:size], size // 3)
    exchange = make_exchange(None, pieces, {"content-length": str(size)})
    file = await read_file(exchange, limits, ticket)
    assert file == data[:size]
    assert isinstance(file, memoryview)
    assert isinstance(file.obj, mmap.mmap) is (size >= service.requests.body._MAPPED_BYTES)


def test_a_block_that_there_is_no_room_for_is_a_lack_of_memory() -> None:
    with pytest.raises(MemoryError):
        service.requests.body._make_block(2**60)


async def test_a_block_is_given_back_while_its_file_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service.requests.body, "_STALL_SECONDS", 0.01)
    blocks = watch_blocks(monkeypatch)

    class Watching(Pauses):
        def resume(self) -> None:
            super().resume()
            self.told += [block() is None for block in blocks]

    ticket: Any = Watching()
    exchange = make_exchange(None, [b"abc", b"de"], {"content-length": "9"}, pause=0.2)
    file = await read_file(exchange, BodyLimits(100, 60.0, 0), ticket)
    assert file == b"abcde"
    assert ticket.told == [0, "resume", 3, "resume", True, 5, "resume", True]


async def test_a_file_is_let_go_of_when_it_is_decoded(
    connect: Callable[..., Any],
    gated: Any,
    make_image: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the network computes without it."""
    blocks = watch_blocks(monkeypatch)
    data = make_image()

    async def cut_up() -> AsyncIterator[bytes]:
        for piece in cut(data, 100):
            yield piece

    async with connect(engine=gated) as client:
        gated.close()
        headers = {"Content-Length": str(len(data))}
        asked = asyncio.create_task(client.post("/classify", content=cut_up(), headers=headers))
        await asyncio.to_thread(gated.wait_for_call)
        assert [block() for block in blocks] == [None]
        gated.open()
        assert (await asked).status_code == 200


async def test_steady_progress_may_take_as_long_as_it_likes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service.requests.body, "_RATE_SECONDS", 0.05)
    ticket: Any = Pauses()
    exchange = make_exchange("image/png", [b"x" * 100] * 20, pause=0.01)
    assert len((await read_images(exchange, BodyLimits(10_000, 60.0, 1), ticket))[0]) == 2000


async def test_a_drip_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.requests.body, "_RATE_SECONDS", 0.05)
    ticket: Any = Pauses()
    exchange = make_exchange("image/png", [b"x"] * 100, pause=0.01)
    with pytest.raises(Problem, match="body_timeout: expected at least 1024 bytes a second; found"):
        await read_images(exchange, BodyLimits(10_000, 60.0, 1024), ticket)


async def test_a_client_that_leaves_is_not_a_problem() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-length", b"9")]}
    ticket: Any = Pauses()
    with pytest.raises(ClientGone):
        await read_images(Exchange(scope, receive, 0.0), BodyLimits(100, 60.0, 0), ticket)


async def test_a_body_that_is_too_large_is_a_413(
    connect: Callable[..., Any], make_image: Callable[..., bytes]
) -> None:
    """The same through HTTP: length limit, chunked over the limit."""

    async def drip(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 1024

    async with connect(Settings(max_body_bytes=2048)) as client:
        big = await client.post("/classify", content=b"x" * 2049)
        chunked = await client.post("/classify", content=drip(3))
    for answer in (big, chunked):
        assert answer.status_code == answer.json()["status"] == 413
