"""HTTP requests to cameras and receivers: bounded in time, with careful redirects."""

import base64
import http.client
import io
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from time import monotonic
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

_MAX_REDIRECTS = 5
_LOOK_SECONDS = 0.25  # between two looks at whether to stop
_REDIRECTS = (301, 302, 303, 307, 308)
_MEDIA_TYPE = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}")
_SAFE = "/%:=&?~#+!$,;'@()*[]"


class InvalidAddress(Exception):
    """A text is no http or https URL; the message says expected, found, remedy."""


class ExchangeFailed(Exception):
    """There is no answer, or an incomplete one; the text says why."""


class UntrustedCertificate(ExchangeFailed):
    """The other side's certificate is not signed by an authority that this machine trusts."""


@dataclass(frozen=True)
class WebAddress:
    """An http or https URL in its parts; printed without password and query."""

    scheme: str
    host: str
    port: int
    target: str
    authorization: str | None = None

    @property
    def origin(self) -> tuple[str, str, int]:
        """The part of a URL that must be equal for a password to be sent again."""
        return self.scheme, self.host, self.port

    @property
    def url(self) -> str:
        """The whole URL without name and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.target}"

    def __str__(self) -> str:
        return self.url.partition("?")[0]


class Patience:
    """Limits of an exchange: max seconds of silence, and of the whole; and whether to stop."""

    def __init__(self, silence: float, whole: float, stop: threading.Event) -> None:
        self.silence = silence
        self.whole = whole
        self.stop = stop
        self._until = monotonic() + whole

    def restart(self) -> None:
        """Starts the time for the whole exchange."""
        self._until = monotonic() + self.whole

    def check(self, silent_since: float) -> None:
        """Raises ExchangeFailed if it is time to give up."""
        now = monotonic()
        if self.stop.is_set():
            raise ExchangeFailed("stopped")
        if now - silent_since >= self.silence:
            raise ExchangeFailed(f"expected bytes within {self.silence:g} s; found silence")
        if now >= self._until:
            raise ExchangeFailed(f"expected all bytes within {self.whole:g} s; found fewer")


def parse_address(text: str) -> WebAddress:
    """Parses an http or https URL, which may have a name and a password.

    Raises InvalidAddress; its message does not quote the URL.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except (ValueError, UnicodeError) as fault:
        raise InvalidAddress(
            "expected a URL such as http://camera.local:8080/stream; found one whose host or port "
            "cannot be. Correct it."
        ) from fault
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidAddress(
            "expected a URL that begins with http:// or https:// and names a host; found another. "
            "Correct it."
        )
    target = quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        target += f"?{quote(parts.query, safe=_SAFE)}"
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    default = 443 if parts.scheme == "https" else 80
    return WebAddress(parts.scheme, host, port or default, target, authorization)


@contextmanager
def fetch(address: WebAddress, patience: Patience) -> Iterator[http.client.HTTPResponse]:
    """The answer to a GET; redirects are followed, but the password is sent to no other host.

    Raises ExchangeFailed.
    """
    for _ in range(_MAX_REDIRECTS + 1):
        with send("GET", address, patience) as answer:
            place = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or place is None:
                yield answer
                return
        address = _follow(address, place)
    raise ExchangeFailed(f"expected at most {_MAX_REDIRECTS} redirects; found more")


@contextmanager
def send(
    verb: str,
    address: WebAddress,
    patience: Patience,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """The answer to one request, its body still to be read with `read_piece`.

    Raises ExchangeFailed, also for what goes wrong inside.
    """
    told = {"User-Agent": "bnn-service", "Connection": "close", **(headers or {})}
    if address.authorization is not None:
        told["Authorization"] = address.authorization
    timeout = min(patience.silence, patience.whole)
    connection = (
        http.client.HTTPSConnection(
            address.host, address.port, timeout=timeout, context=_load_trusted()
        )
        if address.scheme == "https"
        else http.client.HTTPConnection(address.host, address.port, timeout=timeout)
    )
    patience.restart()
    opened: socket.socket | None = None
    try:
        connection.connect()
        opened = connection.sock
        wire: Any = _Wire(opened, patience)
        connection.sock = wire
        connection.request(verb, address.target, body, told)
        with connection.getresponse() as answer:
            yield answer
    except ssl.SSLCertVerificationError as fault:
        raise UntrustedCertificate(
            f"expected a certificate that this machine trusts; found: {fault.verify_message}. "
            "Add the one that signed it to the system's, or name its file in SSL_CERT_FILE."
        ) from fault
    except TimeoutError as fault:
        raise ExchangeFailed(f"expected an answer within {timeout:g} s; found silence") from fault
    except OSError as fault:
        raise ExchangeFailed(f"expected an answer; found: {fault.strerror or fault}") from fault
    except http.client.HTTPException as fault:
        kind = type(fault).__name__
        raise ExchangeFailed(f"expected an answer of HTTP; found a broken one ({kind})") from fault
    finally:
        if opened is not None:
            opened.close()


def read_piece(answer: http.client.HTTPResponse, size: int) -> bytes:
    """Waits for bytes of the body, at most `size`; b"" at the end."""
    return answer.read1(size)


def read_whole(answer: http.client.HTTPResponse, limit: int) -> bytes:
    """The whole body. Raises ExchangeFailed if there is less than announced, or above `limit`."""
    announced = answer.headers.get("Content-Length", "")
    expected = int(announced) if re.fullmatch("[0-9]{1,18}", announced) else None
    content = bytearray()
    while expected is None or len(content) < expected:
        piece = read_piece(answer, 65536)
        if not piece:
            break
        content += piece
        if len(content) > limit:
            raise ExchangeFailed(
                f"expected at most {limit} bytes (BNN_MAX_BODY_BYTES); found more. "
                "Let the camera send smaller images."
            )
    if expected is not None and len(content) < expected:
        raise ExchangeFailed(f"expected {expected} bytes; found {len(content)}, then the end")
    return bytes(content)


def describe_type(answer: http.client.HTTPResponse) -> str:
    """The media type of an answer in lower case; "" if it has none that can be printed."""
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind if _MEDIA_TYPE.fullmatch(kind) else ""


@cache
def _load_trusted() -> ssl.SSLContext:
    """The trusted certificates; reading them takes longer than a request."""
    return ssl.create_default_context()


def _follow(address: WebAddress, place: str) -> WebAddress:
    try:
        target = parse_address(urljoin(address.url, place))
    except (InvalidAddress, ValueError) as fault:
        raise ExchangeFailed("expected a redirect to a URL; found none") from fault
    if (address.scheme, target.scheme) == ("https", "http"):
        raise ExchangeFailed("expected redirects to stay with https; found one to http")
    told = address.authorization if target.origin == address.origin else None
    return WebAddress(target.scheme, target.host, target.port, target.target, told)


class _Wire:
    """A socket for http.client; reading from it ends when the patience does."""

    def __init__(self, opened: socket.socket, patience: Patience) -> None:
        self._opened = opened
        self._patience = patience

    def sendall(self, data: bytes) -> None:
        """Sends everything within the seconds of silence, the socket's time-out."""
        self._opened.sendall(data)

    def makefile(self, _: str) -> io.BufferedReader:
        """The file that the answer is read from."""
        return io.BufferedReader(_Reader(self._opened, self._patience), 65536)

    def close(self) -> None:
        """Does nothing: the code that opened the socket closes it after the answer was read."""


class _Reader(io.RawIOBase):
    def __init__(self, opened: socket.socket, patience: Patience) -> None:
        self._opened = opened
        self._patience = patience

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._opened.settimeout(_LOOK_SECONDS)
        since = monotonic()
        while True:
            self._patience.check(since)
            try:
                return self._opened.recv_into(buffer)
            except TimeoutError:
                continue
