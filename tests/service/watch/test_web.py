"""service.watch.web: addresses, and exchanges that end whatever the other side does."""

import base64
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import service.watch.web
from service.watch.web import (
    ExchangeFailed,
    InvalidAddress,
    Patience,
    UntrustedCertificate,
    WebAddress,
    describe_type,
    fetch,
    parse_address,
    read_piece,
    read_whole,
    send,
)
from tests.service.cameras import Answer, Handler, WebServer, give, hang, redirect, serve_web
from tests.service.wire import SECONDS

Start = Callable[[Answer], WebServer]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers."""
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(serve_web(answer))


def make_patience(silence: float = SECONDS, whole: float = SECONDS) -> Patience:
    return Patience(silence, whole, threading.Event())


def read(address: WebAddress, patience: Patience | None = None, limit: int = 10**6) -> bytes:
    with fetch(address, patience or make_patience()) as answer:
        return read_whole(answer, limit)


# ---- addresses


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://camera", "http://camera:80/"),
        ("HTTPS://Camera.Local/a b?c=d e#f", "https://camera.local:443/a%20b?c=d%20e"),
        ("http://[::1]:8080/?action=stream", "http://[::1]:8080/?action=stream"),
        ("http://käse.example/ü%20", "http://xn--kse-qla.example:80/%C3%BC%20"),
    ],
)
def test_addresses(text: str, url: str) -> None:
    address = parse_address(text)
    assert address.url == url
    assert parse_address(address.url) == address


@pytest.mark.parametrize(
    "text",
    ["ftp://secret/x", "secret", "http://", "http://secret:x/", "http://secret:99999", "http://[x"],
)
def test_what_is_no_address_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(InvalidAddress, match=r"^expected .*; found .*\. Correct it\.$") as caught:
        parse_address(text)
    assert "secret" not in str(caught.value)


@given(text=st.one_of(st.text(), st.text().map("http://{}".format)))
def test_any_text_is_an_address_or_none(text: str) -> None:
    try:
        address = parse_address(text)
    except InvalidAddress:
        return
    assert address.url.isascii()
    assert not any(character.isspace() for character in address.target)


def test_a_password_is_never_printed() -> None:
    address = parse_address("http://me:s%40cret@camera/x?token=secret")
    assert address.authorization == f"Basic {base64.b64encode(b'me:s@cret').decode()}"
    assert str(address) == "http://camera:80/x"
    assert "cret@" not in address.url


# ---- exchanges


def test_what_is_asked_and_answered(start: Start) -> None:
    server = start(give(b"image"))
    address = parse_address(server.url.replace("//", "//me:pw@") + "/a?b=c")
    with fetch(address, make_patience()) as answer:
        assert describe_type(answer) == "image/jpeg"
        assert read_whole(answer, 5) == b"image"
    (request,) = server.requests
    assert (request.verb, request.target) == ("GET", "/a?b=c")
    assert request.headers["authorization"] == address.authorization
    assert request.headers["host"] == f"127.0.0.1:{server.server_port}"


def test_a_body_is_sent(start: Start) -> None:
    server = start(give(status=204))
    with send("POST", parse_address(server.url), make_patience(), b"{}", {"A": "b"}) as answer:
        assert answer.status == 204
    (request,) = server.requests
    assert (request.verb, request.body, request.headers["a"]) == ("POST", b"{}", "b")


def test_redirects_are_followed_and_the_password_stays(start: Start) -> None:
    other = start(give(b"other"))
    server = start(lambda handler: None)
    places = {"/a": redirect("/b"), "/b": redirect(f"{other.url}/c")}
    server.answer = lambda handler: places[handler.path](handler)
    assert read(parse_address(server.url.replace("//", "//me:pw@") + "/a")) == b"other"
    assert [request.target for request in server.requests] == ["/a", "/b"]
    assert all("authorization" in request.headers for request in server.requests)
    assert "authorization" not in other.requests[0].headers


@pytest.mark.parametrize("place", ["/a", "ftp://elsewhere/", "http://["])
def test_redirects_that_lead_nowhere(start: Start, place: str) -> None:
    server = start(redirect(place))
    with pytest.raises(ExchangeFailed, match=r"expected .*redirect"):
        read(parse_address(server.url))
    assert len(server.requests) <= 6


def drip(head: bytes, rest: bytes) -> Answer:
    """Sends the head, and of the rest a byte every 10 ms."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(head)
        for byte in rest:
            handler.wfile.write(bytes([byte]))
            if handler.server.released.wait(0.01):
                return

    return answer


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (hang, "within 0.3 s; found silence"),
        (drip(b"", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 60_000), "all bytes within 0.6 s"),
        (drip(HEAD + b"\r\n", b"x" * 60_000), "all bytes within 0.6 s"),
        (drip(HEAD + b"Content-Length: 9\r\n\r\nhalf", b""), "expected 9 bytes; found 4"),
        (drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\nhalf", b""), "broken one"),
        (drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\nx\r\nhalf", b""), "broken one"),
        (drip(b"nonsense\r\n\r\n", b""), "broken one"),
        (drip(b"", b""), "expected an answer; found"),
        (drip(HEAD + b"X: y\r\n" * 200 + b"\r\n", b""), "broken one"),
        (give(b"x" * 1001), "at most 1000 bytes"),
        (drip(HEAD + b"\r\n" + b"x" * 1001, b""), "at most 1000 bytes"),
    ],
)
def test_answers_that_are_late_broken_or_too_long(start: Start, answer: Answer, text: str) -> None:
    server = start(answer)
    with pytest.raises(ExchangeFailed, match=text):
        read(parse_address(server.url), make_patience(0.3, 0.6), limit=1000)


def test_a_body_ends_where_it_was_announced(start: Start) -> None:
    """Also where the other side leaves the connection open."""

    def answer(handler: Handler) -> None:
        give(b"image")(handler)
        hang(handler)

    assert read(parse_address(start(answer).url)) == b"image"


def test_nobody_listens(start: Start) -> None:
    with serve_web(hang) as server:
        address = parse_address(server.url)
    with pytest.raises(ExchangeFailed, match="Connection refused"):
        read(address)


def test_whoever_waits_can_be_stopped(start: Start) -> None:
    patience = make_patience()
    threading.Timer(0.05, patience.stop.set).start()
    began = time.monotonic()
    with pytest.raises(ExchangeFailed, match="stopped"):
        read(parse_address(start(hang).url), patience)
    assert time.monotonic() - began < SECONDS


@pytest.fixture
def secure(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """A server with a certificate of its own, which the file that SSL_CERT_FILE names has."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, the program, is missing")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    options = (
        "-x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    )
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", *options.split(), *files], check=True, capture_output=True)
    server = start(give(b"image"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setattr(server, "handle_error", lambda *_: None)  # of clients that don't trust it
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    service.watch.web._load_trusted.cache_clear()
    yield server
    service.watch.web._load_trusted.cache_clear()


def test_https(secure: WebServer) -> None:
    address = parse_address(secure.url.replace("http:", "https:"))
    assert read(address) == b"image"

    def slow(handler: Handler) -> None:
        handler.server.released.wait(0.6)  # longer than from one look to the next
        give(b"late")(handler)

    secure.answer = slow
    assert read(address) == b"late"
    secure.answer = redirect(f"http://127.0.0.1:{secure.server_port}/")
    with pytest.raises(ExchangeFailed, match="to stay with https; found one to http"):
        read(address)


def test_a_certificate_that_nobody_trusts(
    secure: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(UntrustedCertificate, match=r"found: .*self.signed.* SSL_CERT_FILE"):
        read(parse_address(secure.url.replace("http:", "https:")))
    assert not secure.requests


def test_pieces_come_as_they_are_sent(start: Start) -> None:
    def answer(handler: Handler) -> None:
        handler.wfile.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        hang(handler)

    with fetch(parse_address(start(answer).url), make_patience()) as found:
        assert read_piece(found, 100) == b"one"


@pytest.mark.parametrize(
    ("kind", "shown"),
    [("Image/JPEG; q=1", "image/jpeg"), (None, ""), ("a\x1bb/c", ""), ("x" * 99 + "/y", "")],
)
def test_types_that_are_fit_to_print(start: Start, kind: str | None, shown: str) -> None:
    with fetch(parse_address(start(give(b"", kind)).url), make_patience()) as answer:
        assert describe_type(answer) == shown
