"""An HTTP/1.1 client on asyncio: when bytes left and came, and how an exchange was lost.

It does as little as a client can, so that it does not become the limit of a measurement: the
requests are ready bytes, the answers are parsed by httptools. Times are of `time.perf_counter`.
"""

import asyncio
import errno
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from time import perf_counter
from typing import Any

import httptools

# Of the machine that generates the load, not of the service: no measurement.
_OWN_LIMITS = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS})


class How(StrEnum):
    """How an exchange ended without an answer."""

    REFUSED = "refused at connect"
    RESET = "reset"
    CLOSED = "closed without an answer"
    TIMEOUT = "no answer in time"
    MALFORMED = "malformed answer"


class Lost(Exception):
    """An exchange without an answer; `how` says in which way."""

    def __init__(self, how: How, detail: str = "") -> None:
        super().__init__(f"{how}: {detail}" if detail else str(how))
        self.how = how


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. Header names are lower case; `interim` has the 1xx statuses before it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    answered: float  # seconds, when its last byte was there
    keep_alive: bool
    interim: tuple[int, ...] = ()


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"http://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as ready bytes."""

    head: bytes
    body: bytes = b""
    name: str = field(default="", compare=False)  # for reports

    @property
    def data(self) -> bytes:
        """Everything, as it is sent."""
        return self.head + self.body


def build_request(
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    name: str = "",
) -> Request:
    """A request; its length is announced, unless a header `Transfer-Encoding` is given."""
    lines = {"Host": "localhost", "User-Agent": "bnn-loadtests", **(headers or {})}
    if body is not None and not {"transfer-encoding", "content-length"} & {
        n.lower() for n in lines
    }:
        lines["Content-Length"] = str(len(body))
    text = "".join(f"{header}: {value}\r\n" for header, value in lines.items())
    return Request(f"{method} {path} HTTP/1.1\r\n{text}\r\n".encode("latin-1"), body or b"", name)


def chunk_body(body: bytes, size: int) -> bytes:
    """The body in the chunked transfer coding, in chunks of `size` bytes."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One connection, for one exchange after the other. Made by `connect`."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[Answer] | None = None
        self._interim_waiting: asyncio.Future[int] | None = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._interim: list[int] = []
        self._status = 0
        self.closed = False  # by either side: it takes no further request

    # ---- what callers use -----------------------------------------------------------------------
    @property
    def busy(self) -> bool:
        """Whether an answer is awaited."""
        return self._waiting is not None and not self._waiting.done()

    @property
    def unsent(self) -> int:
        """Bytes that the other side has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def begin(self, data: bytes) -> "asyncio.Future[Answer]":
        """Sends the beginning of a request, or all of it; the future is its answer.

        The future raises Lost. More of the request may follow by `send`.
        """
        self._waiting = asyncio.get_running_loop().create_future()
        if self.closed or self._transport is None:
            self._fail(Lost(How.CLOSED, "before the request was sent"))
        else:
            self._transport.write(data)
        return self._waiting

    def send(self, data: bytes) -> None:
        """Sends more of the request that was begun; nothing if the connection is closed."""
        if not self.closed and self._transport is not None:
            self._transport.write(data)

    async def exchange(self, data: bytes, seconds: float) -> Answer:
        """Sends a whole request and waits for its answer. Raises Lost."""
        return await self.wait(self.begin(data), seconds)

    async def wait(self, answer: "asyncio.Future[Answer]", seconds: float) -> Answer:
        """The answer, if it comes in time; else the connection is cut. Raises Lost."""
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            self.abort()
            raise Lost(How.TIMEOUT, f"after {seconds:g} s") from None

    async def wait_for_interim(self, seconds: float) -> int | None:
        """The next 1xx status; None if the final answer or the end comes first, or nothing."""
        if self._interim:
            return self._interim[-1]
        if not self.busy:
            return None
        self._interim_waiting = asyncio.get_running_loop().create_future()
        assert self._waiting is not None
        await asyncio.wait(
            (self._interim_waiting, self._waiting),
            timeout=seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        waited, self._interim_waiting = self._interim_waiting, None
        return waited.result() if waited.done() else None

    def close(self) -> None:
        """Closes in order: what was written is still sent."""
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Cuts the connection at once."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    # ---- what asyncio calls ---------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(Lost(How.MALFORMED, "an upgrade that nobody asked for"))
            self.abort()
        except httptools.HttpParserError as fault:
            self._fail(Lost(How.MALFORMED, str(fault)))
            self.abort()

    def eof_received(self) -> bool:
        """The other side has ended: asyncio closes ours, too."""
        self.closed = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, in order or not."""
        self.closed = True
        if not self.busy:
            return
        if exc is None and self._status and self._ends_with_the_connection():
            self._finish(keep_alive=False)
        elif isinstance(exc, ConnectionError):
            self._fail(Lost(How.RESET, str(exc)))
        else:
            self._fail(Lost(How.CLOSED, str(exc or "")))

    # ---- what httptools calls -------------------------------------------------------------------
    def on_message_begin(self) -> None:
        """An answer begins."""
        self._headers, self._body = {}, []

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; repeated ones are joined."""
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """Status and headers are known."""
        self._status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        """Some of the body."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """An answer is complete; interim ones are noted, and the final one is awaited further."""
        if 100 <= self._status < 200:
            self._interim.append(self._status)
            if self._interim_waiting is not None and not self._interim_waiting.done():
                self._interim_waiting.set_result(self._status)
            self._status = 0
            return
        if self.busy:
            self._finish(bool(self._parser.should_keep_alive()))
        else:  # an answer that nobody asked for: the connection can't be used any more
            self.close()

    # ---- own ------------------------------------------------------------------------------------
    def _ends_with_the_connection(self) -> bool:
        headers = self._headers
        return "content-length" not in headers and "transfer-encoding" not in headers

    def _finish(self, keep_alive: bool) -> None:
        assert self._waiting is not None
        interim, self._interim = tuple(self._interim), []
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        answer = Answer(self._status, self._headers, body, perf_counter(), keep_alive, interim)
        self._status = 0
        self._waiting.set_result(answer)
        if not keep_alive:
            self.close()

    def _fail(self, lost: Lost) -> None:
        if self.busy:
            assert self._waiting is not None
            self._waiting.set_exception(lost)
            self._waiting.exception()  # retrieved: a caller that has gone is no fault


async def connect(address: Address, seconds: float) -> Connection:
    """A new connection.

    Raises:
        Lost: it was refused, reset, or not made in time.
        OSError: this machine has no descriptors or ports left.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            _, connection = await loop.create_connection(Connection, address.host, address.port)
    except TimeoutError:
        raise Lost(How.TIMEOUT, f"no connection after {seconds:g} s") from None
    except ConnectionRefusedError as fault:
        raise Lost(How.REFUSED) from fault
    except ConnectionError as fault:
        raise Lost(How.RESET, "while connecting") from fault
    except OSError as fault:
        if fault.errno in _OWN_LIMITS:
            raise
        raise Lost(How.REFUSED, str(fault)) from fault
    return connection


class Pool:
    """Connections that are kept: the last one used is taken first; a new one when all are busy."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._idle: list[Connection] = []
        self.opened = 0

    async def take(self, seconds: float) -> Connection:
        """A connection that is free. Raises Lost, OSError."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        self.opened += 1
        return await connect(self.address, seconds)

    def give_back(self, connection: Connection) -> None:
        """Keeps it for the next request, if it can take one."""
        if not connection.closed and not connection.busy:
            self._idle.append(connection)

    async def renew(self, number: int, seconds: float) -> None:
        """Closes all that are idle, and makes `number` new ones. Raises Lost, OSError.

        After a pause the server may be about to close the old ones (uvicorn: after 5 s), and would
        lose a request that is on its way at that moment.
        """
        self.close()
        for _ in range(number):
            self._idle.append(await connect(self.address, seconds))
            self.opened += 1

    def close(self) -> None:
        """Closes all that are idle."""
        close_all(self._idle)
        self._idle.clear()


def close_all(connections: Iterable[Connection]) -> None:
    """Closes connections in order."""
    for connection in connections:
        connection.close()


async def ask(address: Address, request: Request, seconds: float) -> Answer:
    """One exchange on a connection of its own. Raises Lost, OSError."""
    connection = await connect(address, seconds)
    try:
        return await connection.exchange(request.data, seconds)
    finally:
        connection.close()
