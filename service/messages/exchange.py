"""One request and its answer, in a form for routes that must be fast."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.types import Message, Receive, Scope

from service.messages.logs import read_context

if TYPE_CHECKING:
    from opentelemetry.trace import Span

#: ASGI extension: what our server says of a request's connection (service.server.protocol).
CONNECTION = "bnn.connection"


class ClientGone(Exception):
    """The client left before its answer."""


@dataclass(eq=False)  # each is itself: queues are by connection
class Connection:
    """The facts about a connection while a request is on it."""

    half_closed: bool = False  # the client sends nothing more: it has left, or waits for the answer
    is_complete: bool = False  # the whole request has come
    is_lost: bool = False  # nobody is left to answer
    on_lost: Callable[[], None] | None = None  # called when that happens


@dataclass
class Answer:
    """A whole answer; Content-Length is added when it is sent."""

    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


class Exchange:
    """A request with its headers by lower-case name; the last one of a repeated header counts."""

    def __init__(self, scope: Scope, receive: Receive, started: float) -> None:
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.context = read_context(
            self.headers.get(b"x-request-id"), self.headers.get(b"traceparent")
        )
        self.started = started  # of time.perf_counter
        known: Connection | None = scope.get("extensions", {}).get(CONNECTION)
        self.connection = known or Connection()
        self._connection_tells = known is not None
        self.caller: Hashable = ""  # who asks; service.access.access finds out
        self.span: Span | None = None  # of OpenTelemetry; None: the request is not traced
        self.route: str | None = None  # template of the path, where it has names in it
        self.problem: str | None = None  # the code of the answer, if it is one
        self.stages: dict[str, float] = {}  # milliseconds by stage, as far as they are known
        #: Whether there is more of the body to come.
        self.body_pending = (
            b"transfer-encoding" in self.headers
            or self.headers.get(b"content-length", b"0") != b"0"
        )
        #: Whether the client waits to be asked for the body (Expect: 100-continue) and was not.
        self.body_unasked = self.body_pending and b"expect" in self.headers
        self._receive = receive

    @property
    def is_recorded(self) -> bool:
        """Whether this request is traced."""
        return self.span is not None and self.span.is_recording()

    async def receive(self) -> Message:
        """The next message of the client; after the body only the news that it has left."""
        self.body_unasked = False
        message = await self._receive()
        self.body_pending = bool(message.get("more_body", False))
        return message

    async def read_chunk(self) -> bytes:
        """The next bytes of the body. Raises ClientGone."""
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        return chunk

    @contextmanager
    def watch_client(self, on_gone: Callable[[], None]) -> Iterator[None]:
        """Calls `on_gone` if the client has left or leaves; the whole body must have been read.

        Our server reports this itself, at no cost; with other servers a task has to wait for it.
        """
        if self._connection_tells:
            if self.connection.is_lost:
                on_gone()
            self.connection.on_lost = on_gone
            try:
                yield
            finally:
                self.connection.on_lost = None
        else:
            watching = asyncio.create_task(self._watch(on_gone))
            try:
                yield
            finally:
                watching.cancel()

    async def _watch(self, on_gone: Callable[[], None]) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        on_gone()
