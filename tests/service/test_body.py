"""service.body: every odd way to send a picture, byte by byte and in any cut."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request

from service.body import discard_rest, read_picture
from service.problems import Problem
from service.settings import Settings

pytestmark = pytest.mark.anyio
FORM = "multipart/form-data; boundary=XX"


def make_part(disposition: str, content: bytes, *headers: str) -> bytes:
    """One part of a form with the boundary XX."""
    lines = "".join(f"{line}\r\n" for line in (f"Content-Disposition: {disposition}", *headers))
    return b"--XX\r\n" + lines.encode() + b"\r\n" + content + b"\r\n"


def make_file(content: bytes, name: str = "image", *headers: str) -> bytes:
    """A file part."""
    return make_part(f'form-data; name="{name}"; filename="a.jpg"', content, *headers)


END = b"--XX--\r\n"


async def read(
    content_type: str | None,
    chunks: list[bytes],
    headers: dict[str, str] | None = None,
    max_bytes: int = 10_000,
    pause: float = 0,
) -> bytes:
    """What read_picture makes of a request whose body arrives in these chunks."""
    queue = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    queue.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause)
        return queue.pop(0)

    every = {**({"content-type": content_type} if content_type else {}), **(headers or {})}
    scope = {
        "type": "http",
        "method": "POST",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in every.items()],
    }
    return await read_picture(Request(scope, receive), max_bytes, 1000 if not pause else 20)


@pytest.mark.parametrize(
    "content_type",
    [None, "image/jpeg", "application/octet-stream", "application/x-www-form-urlencoded", "x", ";"],
)
async def test_any_other_type_is_the_bare_picture(content_type: str | None) -> None:
    assert await read(content_type, [b"\xff\xd8", b"rest"]) == b"\xff\xd8rest"


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
        (make_file(b"bytes") + make_part('form-data; name="note"', b"hello") + END, b"bytes"),
        (make_file(b"other", "thumbnail") + make_file(b"bytes") + END, b"bytes"),
        (make_part('form-data; name="image"; filename="a;b\\".jpg"', b"x") + END, b"x"),
        (b"\r\n" + make_file(b"bytes") + END, b"bytes"),
        (make_file(b"bytes") + END + b"epilogue", b"bytes"),
        (make_file(b"bytes") + b"--XX--", b"bytes"),
    ],
)
@pytest.mark.parametrize("step", [1, 3, 10_000])
async def test_forms(body: bytes, expected: bytes | None, step: int) -> None:
    chunks = [body[at : at + step] for at in range(0, len(body), step)]
    if expected is None:
        with pytest.raises(Problem, match="bad_request: expected a picture; found 0 bytes"):
            await read(FORM, chunks)
    else:
        assert await read(FORM, chunks) == expected


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("multipart/form-data", make_file(b"x") + END, "boundary of 1 to 70"),
        ("multipart/form-data; boundary=", make_file(b"x") + END, "boundary of 1 to 70"),
        (f"multipart/form-data; boundary={'X' * 71}", b"", "boundary of 1 to 70"),
        ("multipart/mixed; boundary=XX", make_file(b"x") + END, "another multipart"),
        (FORM, b"", "without one"),
        (FORM, b"no form at all", "breaks its rules"),
        (FORM, make_file(b"x"), "without one"),
        (FORM, make_file(b"x")[:-9], "without one"),
        (FORM, END, "found 0 among 0"),
        (FORM, make_file(b"x") + make_file(b"y") + END, "found 2 among 2"),
        (FORM, make_file(b"x", "photo") + END, "found 0 among 1"),
        (FORM, make_part('form-data; name="image"', b"a text") + END, "found a text field"),
        (FORM, make_part("form-data", b"x") + END, "found 0 among 1"),
        (FORM, b"--XX\r\n\r\nx\r\n" + END, "found 0 among 1"),
        (FORM, make_file(b"x") + make_part('form-data; name="top_k"', b"3") + END, "top_k=3"),
        (FORM, make_part('form-data; name="a"', b"") * 17 + END, "more than 16"),
        (FORM, b"--XX\r\n" + b"A: b\r\n" * 100 + b"\r\nx\r\n" + END, "breaks its rules"),
        (FORM, b"--XX\r\nA: " + b"b" * 9000 + b"\r\n\r\nx\r\n" + END, "breaks its rules"),
        (FORM, b"--XX\r\nno colon\r\n\r\nx\r\n" + END, "breaks its rules"),
        (FORM, b"--XX\r\n: empty\r\n\r\nx\r\n" + END, "breaks its rules"),
        (FORM, b"--XX\nContent-Disposition: x\n\nx\n--XX--\n", "breaks its rules"),
    ],
)
async def test_what_is_no_form_with_one_picture(content_type: str, body: bytes, text: str) -> None:
    with pytest.raises(Problem, match=f"bad_request: expected .*{text}"):
        await read(content_type, [body])


async def test_the_limit_is_checked_by_the_announced_length_before_anything_is_read() -> None:
    with pytest.raises(Problem, match="too_large: expected a body of at most 100 bytes"):
        await read("image/png", [], {"content-length": "101"}, max_bytes=100)


@pytest.mark.parametrize("content_type", ["image/png", FORM])
@pytest.mark.parametrize("announced", [{}, {"content-length": "5"}, {"content-length": "-1"}])
async def test_the_limit_is_checked_while_bytes_arrive(
    content_type: str, announced: dict[str, str]
) -> None:
    body = make_file(b"x" * 500) + END
    assert len(await read(content_type, [body], announced, max_bytes=len(body))) >= 500
    chunks = [body[at : at + 50] for at in range(0, len(body), 50)]
    with pytest.raises(Problem, match="too_large"):
        await read(content_type, chunks + [b"never read"] * 5, announced, max_bytes=len(body) - 1)


async def test_a_slow_body_is_given_up() -> None:
    with pytest.raises(Problem, match="body_timeout: expected the whole body within 20 ms"):
        await read("image/png", [b"x"] * 50, pause=0.005)


async def test_a_client_that_leaves_is_not_a_problem() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "headers": []}
    with pytest.raises(ClientDisconnect):
        await read_picture(Request(scope, receive), 100, 1000)


async def test_the_rest_of_a_refused_body_is_read_within_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    received: list[int] = []

    async def receive() -> dict[str, Any]:
        received.append(1000)
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    async def stall() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError("waited too long")

    monkeypatch.setattr("service.body._DISCARD_BYTES", 5500)
    await discard_rest(receive)
    assert sum(received) == 6000
    monkeypatch.setattr("service.body._DISCARD_SECONDS", 0.01)
    await discard_rest(stall)


async def test_every_problem_reaches_the_client_as_4xx(
    connect: Callable[..., Any], picture: Callable[..., bytes]
) -> None:
    """The same through HTTP: length limit, chunked over the limit, slow body."""

    async def drip(count: int, pause: float) -> AsyncIterator[bytes]:
        for _ in range(count):
            await asyncio.sleep(pause)
            yield b"x" * 1024

    async with connect(Settings(max_body_bytes=2048, body_idle_timeout_ms=50)) as client:
        big = await client.post("/classify", content=b"x" * 2049)
        chunked = await client.post("/classify", content=drip(3, 0))
        slow = await client.post("/classify", content=drip(2, 0.1))
    for answer, status in ((big, 413), (chunked, 413), (slow, 408)):
        assert answer.status_code == status
        assert answer.json()["status"] == status


FRAGMENTS = st.sampled_from(
    [
        b"--XX\r\n",
        b"--XX--\r\n",
        b"\r\n",
        b"\r",
        b"-",
        b"Content-Disposition: ",
        b'form-data; name="image"; filename="a"\r\n\r\n',
        b'form-data; name="image"\r\n\r\n',
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"name=",
        b'"',
        b"\0",
    ]
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(st.one_of(FRAGMENTS, st.binary(max_size=12)), max_size=14),
    st.integers(1, 40),
    st.sampled_from([FORM, FORM + "; charset=x", 'multipart/form-data; boundary="', "multipart/;"]),
)
async def test_fuzzed_forms_give_bytes_or_a_problem(
    fragments: list[bytes], step: int, content_type: str
) -> None:
    body = b"".join(fragments)
    try:
        found = await read(content_type, [body[i : i + step] for i in range(0, len(body), step)])
    except Problem as problem:
        code = problem.code
    else:
        code = "found" if found in body else "made up"
    assert code in ("bad_request", "found")


@settings(max_examples=150, deadline=None, derandomize=True)
@given(fragments=st.lists(st.one_of(FRAGMENTS, st.binary(max_size=12)), max_size=14))
async def test_fuzzed_forms_through_http_are_never_a_500(
    shared_client: httpx.AsyncClient, fragments: list[bytes]
) -> None:
    answer = await shared_client.post(
        "/classify", content=b"".join(fragments), headers={"Content-Type": FORM}
    )
    assert 400 <= answer.status_code < 500, answer.text
