"""What uvicorn reads and writes a connection through: gentle at the end, and within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.flow_control import FlowControl

if TYPE_CHECKING:
    from service.protocol import BoundedProtocol

_INTERIM = b"HTTP/1.1 100 "


class PatientFlow(FlowControl):
    """Reads nothing more while requests wait for those before them.

    uvicorn reads on after each answer: a client that sends requests and nothing else would fill the
    memory with them.
    """

    def __init__(self, connection: BoundedProtocol) -> None:
        super().__init__(connection.transport)
        self._connection = connection

    def resume_reading(self) -> None:
        """Reads on, unless requests wait."""
        if not self._connection.pipeline:
            super().resume_reading()


class AnswerTransport:
    """The connection as an answer sees it: head and body are sent together, and closing is gentle.

    A connection that is closed over unread bytes is reset, and clients and proxies lose the answer:
    closing waits for the rest of the request.
    """

    def __init__(self, connection: BoundedProtocol, has_body: bool) -> None:
        self._connection = connection
        self._write = connection.transport.write
        self._head: bytes | None = None  # held back
        self._has_begun = not has_body
        self.is_closing = connection.transport.is_closing

    def write(self, data: bytes) -> None:
        """Holds the head back until the first part of the body is there, if there will be one."""
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
