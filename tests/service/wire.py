"""HTTP by hand over a socket, for tests that must see each byte, and requests to send by it."""

import json
import socket
from dataclasses import dataclass
from typing import Any

Address = tuple[str, int]
SECONDS = 60.0  # tells "never" from "late"


@dataclass
class Reply:
    """One answer as it came."""

    status: int
    headers: dict[str, str]  # by lower-case name
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The problem that it tells."""
        assert self.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = json.loads(self.body)
        assert problem["status"] == self.status
        assert problem["request_id"] == self.headers["x-request-id"]
        return problem

    @property
    def closes(self) -> bool:
        """Whether it says that the connection ends with it."""
        return self.headers.get("connection", "") == "close"


class Wire:
    """A connection to a server. `takes`: bytes that the system takes in before they are read."""

    def __init__(self, address: Address, takes: int | None = None) -> None:
        self.socket = socket.socket()
        if takes is not None:  # before it connects, or the other side may send more
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes)
        self.socket.settimeout(SECONDS)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leaves."""
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Sends all of it."""
        self.socket.sendall(data)

    def send_for_ever(self, data: bytes) -> None:
        """Sends it again and again; raises ConnectionError or TimeoutError in the end."""
        while True:
            self.socket.sendall(data)

    def end(self) -> None:
        """Says that nothing more is sent."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Leaves in a way that the other side hears of at once."""
        linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close()

    def read(self, with_body: bool = True) -> Reply:
        """The next answer; interim ones are passed over. Raises EOFError if there is none."""
        while True:
            line = self._file.readline()
            if not line:
                raise EOFError("the connection ended without an answer")
            version, status, *_ = line.split(b" ", 2)
            assert version == b"HTTP/1.1", line
            headers: dict[str, str] = {}
            while (line := self._file.readline()) not in (b"\r\n", b""):
                name, _, value = line.decode("latin-1").partition(":")
                assert name.lower() not in headers, f"{name} twice"
                headers[name.lower()] = value.strip()
            if status != b"100":
                break
        body = b""
        if with_body:
            assert "transfer-encoding" not in headers
            length = int(headers["content-length"])
            body = self._file.read(length)
            assert len(body) == length, "the body was cut off"
        return Reply(int(status), headers, body)

    def read_line(self) -> bytes:
        """The next line."""
        return self._file.readline()

    def read_to_end(self) -> bytes:
        """What comes until the server ends the connection; raises ConnectionResetError."""
        return self._file.read()


def ask(address: Address, data: bytes) -> Reply:
    """The answer to one request, on a connection of its own."""
    with Wire(address) as wire:
        wire.send(data)
        return wire.read()


def get(path: str = "/livez", *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request without a body."""
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost", *headers, "", ""]
    return "\r\n".join(lines).encode()


def post_head(length: int | None, *headers: str, path: str = "/classify") -> bytes:
    """The head of a request with a body of so many bytes; None: chunked."""
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return get(path, size, *headers, method="POST")


def post(data: bytes, *headers: str, path: str = "/classify") -> bytes:
    """A request with this body."""
    return post_head(len(data), *headers, path=path) + data
