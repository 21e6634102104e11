"""The transport of a connection, for uvicorn: closed gently, and within bounds."""

from __future__ import annotations

import fcntl
import struct
import termios
from time import monotonic
from typing import TYPE_CHECKING

from uvicorn.protocols.http.flow_control import FlowControl

if TYPE_CHECKING:
    from service.server.protocol import BoundedProtocol

_INT = struct.Struct("i")
_INTERIM = b"HTTP/1.1 100 "


class PatientFlow(FlowControl):
    """Reads nothing more while requests wait for earlier ones.

    uvicorn reads on after each answer: a client that only sends requests would fill the memory. It
    also ignores clients that take no answers: a closed transport stays open until all is sent.
    """

    def __init__(self, connection: BoundedProtocol) -> None:
        super().__init__(connection.transport)
        self._connection = connection
        self.paused_since: float | None = None  # more is written than is buffered
        self._unsent = 0  # bytes, when last measured
        self._taken_at = monotonic()  # when the client was last seen to have taken some

    def measure_stall(self, now: float) -> float:
        """Seconds in which the client has taken none of the bytes that wait for it.

        `now` is of time.monotonic; to be called about once a second.
        """
        unsent = self._connection.transport.get_write_buffer_size()
        if unsent == 0 or unsent < self._unsent:
            self._taken_at = now
        self._unsent = unsent
        return now - self._taken_at

    def has_unread(self) -> bool:
        """Whether bytes of the client have arrived that the event loop has not read, but will.

        Of a connection that is closing nothing more is read; and a client that does not take its
        answers is not kept by what it sends.
        """
        transport = self._connection.transport
        if transport.is_closing() or self.paused_since is not None:
            return False
        waiting = bytearray(_INT.size)
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.FIONREAD, waiting)
        unread: int = _INT.unpack(waiting)[0]
        return unread > 0

    def pause_writing(self) -> None:
        """The client does not take its answers."""
        self.paused_since = monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self.paused_since = None
        self._taken_at = monotonic()
        super().resume_writing()

    def resume_reading(self) -> None:
        """Reads on, unless requests wait."""
        if not self._connection.pipeline:
            super().resume_reading()


class AnswerTransport:
    """The transport of an answer: head and body are sent together, and it is closed gently.

    Closing with unread bytes resets a connection, and clients and proxies lose the answer. So
    closing waits for the rest of the request.
    """

    def __init__(self, connection: BoundedProtocol, has_body: bool) -> None:
        self._connection = connection
        self._write = connection.transport.write
        self._head: bytes | None = None  # held back
        self._has_begun = not has_body
        self.is_closing = connection.transport.is_closing

    def write(self, data: bytes) -> None:
        """Holds the head back until the first piece of the body is there, if any."""
        if self._connection.is_over:
            return
        if self._head is not None:
            head, self._head = self._head, None
            self._write(head + data)
        elif self._has_begun or data.startswith(_INTERIM):
            self._write(data)
        else:
            self._has_begun = True
            self._head = data

    def close(self) -> None:
        """Ends the connection after this answer."""
        if self._connection.is_over:
            return
        if self._head is not None:
            self._write(self._head)
        self._connection.close_after_answer(self)
