"""One HTTP/1.1 connection: uvicorn's protocol with bounds on time and size."""

import asyncio
import logging
from time import monotonic
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from service.messages.exchange import CONNECTION, Connection
from service.messages.logs import RequestContext, read_context
from service.messages.problems import COMMON_HEADERS, Problem, describe_no_memory, encode_problem
from service.metrics.metrics import Metrics
from service.requests.gate import Gate
from service.server.transports import AnswerTransport, PatientFlow

_log = logging.getLogger(__name__)
MAX_HEAD_BYTES = 64 * 2**10
MAX_HEADERS = 256  # of requests without answers; each takes 150 bytes, and 4 to send
#: After a refusal, what is still on its way of the body is read and thrown away, within these.
MAX_DISCARDED_BYTES = 64 * 2**20
DISCARD_SECONDS = 10.0
WRITE_SECONDS = 30.0  # in which a client must take some of its answer
MAX_AHEAD = 32  # requests that a client may send before it has their answers
_REFUSALS = {
    "malformed_request": "expected an HTTP/1.1 request; found other bytes. Send http, not "
    "https or another protocol, and let a library write the request.",
    "headers_too_large": f"expected a head of at most {MAX_HEAD_BYTES} bytes and {MAX_HEADERS} "
    "headers; found more. Send fewer or smaller headers.",
}


class _Unacceptable(Exception):
    """Stops the parsing of what the client has sent."""


class _LargeHead(_Unacceptable):
    """The head of a request is too large."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection that cannot delay the service, nor be delayed by it.

    A request goes through these phases: nothing yet -> head -> body -> done, then silence until the
    next one. `sweep` ends the connection if one of these takes too long. uvicorn sets and cancels a
    timer for the silence after each request, which costs too much with many thousands of requests.
    """

    flow: PatientFlow

    def __init__(
        self,
        *,
        header_seconds: float,
        idle_seconds: float,
        metrics: Metrics,
        gate: Gate,
        **rest: Any,
    ) -> None:
        super().__init__(**rest)
        self._gate = gate
        self._header_seconds = header_seconds
        self._idle_seconds = idle_seconds  # between two requests
        self._metrics = metrics
        self._since = monotonic()  # the beginning of the present phase
        self._heard_at = self._since
        self._in_message = False  # between a request's first byte and its last
        self._in_head = False
        self._headers_ahead = 0  # of requests without an answer
        self._unparsed = 0  # bytes since the last head or piece of a body was complete
        self._has_served = False
        self._is_turned_away = False  # the request that is being read is refused already
        self._discarded = 0
        self.is_over = False  # nothing more is written to this connection
        self._is_refused = False  # what still comes is thrown away
        self._closes_when_read = False  # the answer was the last one; the rest of the body comes
        self._is_replaying = False  # a head that only tells the parser what it already knew
        self._facts = Connection()

    # ---- what the server asks

    @property
    def is_gone(self) -> bool:
        """Whether it ends with the loop's next turn: closed, and nothing is left to be sent."""
        return self.transport.is_closing() and not self.transport.get_write_buffer_size()

    @property
    def is_working(self) -> bool:
        """Whether a request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete and not self.is_over

    @property
    def idle_since(self) -> float:
        """The time when the present phase began, of time.monotonic."""
        return self._since

    @property
    def has_unread(self) -> bool:
        """Whether bytes of a request have arrived that the event loop has not read yet."""
        # What follows other bytes (line ends, a body that was refused) is not waited for.
        is_awaited = self.is_working or self._in_head or self._heard_at <= self._since
        return is_awaited and not self.is_over and self.flow.has_unread()

    @property
    def stalled_since(self) -> float | None:
        """The time when the client last sent or took anything; None while it waits for us."""
        if self.flow.paused_since is not None:
            return self.flow.paused_since
        return self._heard_at if self.is_working and self.cycle.more_body else None

    def sweep(self, now: float) -> None:
        """Ends the connection if its phase has lasted too long.

        A transport that is closed stays open until the client has taken what was written.
        """
        is_silent = not self._has_served and not self._in_message
        if self.flow.measure_stall(now) > WRITE_SECONDS:
            self.transport.abort()
        elif self.transport.is_closing() or self.is_over or self.is_working:
            pass  # at work, the body's reader and the deadline watch over it
        elif self._in_head and now - self._since > self._header_seconds:
            seconds = self._header_seconds
            self._refuse(
                Problem(
                    "header_timeout",
                    f"expected the whole head of the request within {seconds:g} s; found a part of "
                    "it. Send it again, over a faster connection.",
                )
            )
        elif is_silent and now - self._since > self._header_seconds:
            self.transport.close()  # not a byte: nobody to answer
        elif self._in_message and not self._in_head and now - self._since > DISCARD_SECONDS:
            self.close_gently()
        elif not self._in_message and now - self._since > self._idle_seconds:
            self.transport.close()

    def end_with(self, problem: Problem) -> None:
        """Answers the present request, or bytes that are none, with a problem; then ends."""
        if self.is_over:
            return
        if self.is_working:
            if self.cycle.response_started:
                self.cycle.keep_alive = False  # it gets its own answer, the last one
                return
            self.cycle.disconnected = True  # the application writes nothing more
            self.cycle.message_event.set()
        self._write_problem(problem, read_context(None, None), closes=True)
        self.close_gently()

    def _write_problem(self, problem: Problem, context: RequestContext, closes: bool) -> None:
        body, headers = encode_problem(problem, context.request_id)
        headers = [*self.server_state.default_headers, *headers, *COMMON_HEADERS]
        headers.append((b"content-length", b"%d" % len(body)))
        headers.append((b"x-request-id", context.request_id.encode()))
        if closes:
            headers.append((b"connection", b"close"))
        lines = [name + b": " + value + b"\r\n" for name, value in headers]
        head = STATUS_LINE[problem.definition.status] + b"".join(lines) + b"\r\n"
        self.transport.write(head + body)

    def close_after_answer(self, answer: AnswerTransport) -> None:
        """Ends the connection after its last answer, when the rest of the request has arrived."""
        latest: object = self.cycle.transport
        if self._is_refused or latest is not answer:  # what follows has no answer
            self.close_gently()
        elif self._in_message and not self.transport.is_closing():
            self._closes_when_read = True  # and `sweep` does not wait for ever
        else:
            self.transport.close()

    def close_gently(self) -> None:
        """Ends the connection so that an answer already written reaches the client.

        Closing with unread bytes resets the connection, and the answer may be lost. So we only say
        that nothing more comes, and wait until the client closes.
        """
        if self.transport.is_closing() or self.is_over:
            return
        self.is_over = self._is_refused = True
        self.pipeline.clear()
        if self._facts.half_closed:  # it has nothing unread to lose the answer over
            self.transport.close()
            return
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(1.0, self.transport.abort)

    # ---- asyncio's side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(transport)
        self.flow = PatientFlow(self)
        self._since = monotonic()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or we have closed."""
        super().connection_lost(exc)
        self._facts.is_lost = True
        if self._facts.on_lost is not None:
            self._facts.on_lost()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        self._heard_at = monotonic()
        if self._is_refused:
            return
        self._unparsed += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError as fault:
            cause = fault.__context__
            if isinstance(cause, MemoryError):
                self.end_with(describe_no_memory())
                return
            if cause is not None and not isinstance(cause, _Unacceptable):
                _log.error("a head could not be taken in", exc_info=cause)
            is_large = isinstance(cause, _LargeHead)
            self._refuse_bytes("headers_too_large" if is_large else "malformed_request")
        else:
            if self._in_message and self._unparsed > MAX_HEAD_BYTES:
                self._refuse_bytes("headers_too_large")

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                self._ignore_upgrade()
            else:
                return

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends nothing more: a request that is complete is still answered."""
        self._facts.half_closed = True
        if self.is_working and not self.cycle.more_body:
            self.cycle.keep_alive = False
            return True
        return False

    # ---- the parser's side

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if self._is_replaying:
            return
        if len(self.pipeline) >= MAX_AHEAD or self.transport.is_closing():
            raise _Unacceptable
        super().on_message_begin()
        self.scope["extensions"] = {CONNECTION: self._facts}  # type: ignore[dict-item]
        self._in_message = self._in_head = True
        self._facts.is_complete = False
        self._is_turned_away = False
        self._discarded = 0
        if not self.is_working:
            self._since = monotonic()
            self._headers_ahead = 0

    def on_url(self, url: bytes) -> None:
        """The target of a request."""
        if not self._is_replaying:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of a request; trailers after a chunked body are ignored."""
        if self._in_head:
            self._headers_ahead += 1
            if self._headers_ahead > MAX_HEADERS:
                raise _LargeHead
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete: the application begins."""
        if self._is_replaying:
            self._is_replaying = False
            return
        self._unparsed = 0
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEAD_BYTES:
            raise _LargeHead
        self._has_served = True
        self.expect_100_continue &= self.parser.get_http_version() != "1.0"  # no interim answers
        if not self.is_working and self._turn_away():
            self._in_head = False
            return
        before = self.cycle
        try:
            super().on_headers_complete()
        except (httptools.HttpParserError, AttributeError, UnicodeDecodeError) as fault:
            raise _Unacceptable from fault  # the target is none
        self._in_head = False
        if self.cycle is not before:
            transport = AnswerTransport(self, has_body=self.scope["method"] != "HEAD")
            self.cycle.transport = transport  # type: ignore[assignment]

    def _turn_away(self) -> bool:
        """Refuses the request whose head is complete, if the gate says so.

        In a drain the application refuses it, which reads the body before it ends the connection.
        """
        if self._gate.is_draining:
            return False
        method = self.parser.get_method()
        refusal = self._gate.refuse(method, self.url, self.scope)  # type: ignore[arg-type]
        if refusal is None:
            return False
        expects = any(name == b"expect" for name, _ in self.headers)
        closes = expects or not self.parser.should_keep_alive()
        self._write_problem(*refusal, closes=closes)
        self._since = monotonic()
        self._is_turned_away = True
        self._closes_when_read = closes
        return True

    def on_body(self, body: bytes) -> None:
        """Bytes of the body; after a refusal they are thrown away."""
        self._unparsed = 0
        if self._is_turned_away or self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > MAX_DISCARDED_BYTES:
                self.close_gently()
            return
        if not self.cycle.body:  # uvicorn's bytearray would copy a piece twice
            self.cycle.body = b""  # type: ignore[assignment]
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self.parser.should_upgrade() and self._body_headers:
            return  # the parser believes that an upgrade has no body: `_ignore_upgrade` goes on
        self._in_message = False
        self._facts.is_complete = True
        self._unparsed = 0
        if not self._is_turned_away:
            super().on_message_complete()
        if self._closes_when_read:
            self.transport.close()
        elif not self.is_working:  # the body of a request that was refused
            self._since = monotonic()

    def on_response_complete(self) -> None:
        """The answer is written: the next request of this client begins."""
        self._since = monotonic()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    # ---- what is no request

    def _ignore_upgrade(self) -> None:
        """Ignores the offer of another protocol: the request is answered in HTTP/1.1.

        Java's HttpClient and curl --http2 offer HTTP/2 at first. The parser stops there, so a new
        parser takes over, which learns about the body from an artificial head.
        """
        headers = self._body_headers
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        if headers:
            self._is_replaying = True
            lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + lines + b"\r\n")

    @property
    def _body_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that announce a body."""
        return [
            (name, value)
            for name, value in self.headers
            if name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        ]

    def _refuse_bytes(self, code: str) -> None:
        self._refuse(Problem(code, _REFUSALS[code]))

    def _refuse(self, problem: Problem) -> None:
        """Ends the connection because of what came; an answer in progress is still sent."""
        if self.transport.is_closing():
            return
        self._metrics.count_malformed(problem.code)
        if self.is_working and not self.cycle.more_body:
            self.cycle.keep_alive = False
            self._is_refused = True
        elif self.is_working or self._in_head or not self._in_message:
            self.end_with(problem)
            self._is_refused = True
        else:  # the rest of a request that has its answer
            self.close_gently()
