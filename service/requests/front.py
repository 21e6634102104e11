"""The layer around every request: its id, metrics, log line, and the answer when it fails."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.access import Access
from service.access.keys import Caller
from service.messages.exchange import Answer, ClientGone, Exchange
from service.messages.logs import log_with
from service.messages.problems import (
    CLIENT_GONE,
    COMMON_HEADERS,
    Problem,
    describe_no_memory,
    describe_status,
    encode_problem,
    release_frames,
)
from service.metrics.metrics import Metrics
from service.requests.tracing import describe_problem, describe_route, find_span, relate
from service.work.lifecycle import Lifecycle

_log = logging.getLogger("service.requests")
_CLOSE = (b"connection", b"close")
_UNMATCHED = "unmatched"
# Asked for every few seconds by machines: logged for debugging only.
PROBES = frozenset({"/livez", "/readyz", "/startupz", "/v2/health/live", "/v2/health/ready"})
QUIET = PROBES | {
    *("/metrics", "/v2/models/{model}/ready", "/v2/models/{model}/versions/{version}/ready")
}
_GUARDED = frozenset({"/classify", "/classify/batch", "/info", "/models"})
_SLOW_SECONDS = 1.0  # above which the log's line of a request says where the time went
_DISCARD_BYTES = 64 * 2**20
_DISCARD_SECONDS = 5.0

Handler = Callable[[Exchange], Awaitable[Answer]]


@dataclass(frozen=True)
class Route:
    """A path with parameters: its template, handlers by method, whether it needs no key."""

    template: str
    handlers: Mapping[str, Handler]
    is_open: bool = False


class Family(Protocol):
    """Routes below one prefix, with parameters in their paths and their own form of errors."""

    def find(self, path: str) -> Route:
        """Raises Problem not_found."""
        ...

    def encode_problem(self, problem: Problem) -> Answer:
        """The answer for a problem."""
        ...


class LateFamily:
    """A family that is created by the first request below `prefix`; it costs nothing before."""

    def __init__(self, prefix: str, make: Callable[[], Family]) -> None:
        self.prefix = prefix
        self._make = make

    @cached_property
    def routes(self) -> Family:
        """What was made."""
        return self._make()

    def owns(self, path: str) -> bool:
        """Whether a path is the prefix or below it."""
        return path.startswith(self.prefix) and path[len(self.prefix) :][:1] in ("", "/")


def asks_for_key(path: str) -> bool:
    """Whether a path of the service, or of a family's templates, needs a key."""
    return path in _GUARDED or (f"{path}/".startswith("/v2/") and path not in QUIET)


class Front:
    """A pure ASGI layer in front of the routes of `app`; `handlers` answer before these routes.

    `handlers` are path -> method -> handler. The routes of `family` also come before; below its
    prefix only they answer. Unlike Starlette's base class for middleware, it hides no disconnect
    and adds no task.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        lifecycle: Lifecycle,
        access: Access,
        handlers: Mapping[str, Mapping[str, Handler]],
        family: LateFamily | None = None,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._access = access
        self._handlers = handlers
        self._family = family

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; a lifespan event is passed on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        method = scope["method"]
        if method == "HEAD":  # a copy: the server leaves out the body by its own one
            scope = {**scope, "method": "GET"}
        exchange = Exchange(scope, receive, started)
        if (span := find_span()) is not None:
            exchange.span = span
            exchange.context = relate(exchange.context, span)
        with log_with(exchange.context):
            self._metrics.begin_request()
            try:
                status = await self._serve(exchange, send)
            finally:
                self._metrics.end_request()
            self._record(exchange, method, status, perf_counter() - started)

    async def _serve(self, exchange: Exchange, send: Send) -> int:
        """Sends the answer; returns its status."""
        scope = exchange.scope
        handlers = self._handlers.get(scope["path"])
        answer: Answer | None = None
        try:
            is_open = False
            if handlers is None and (family := self._find_family(scope["path"])) is not None:
                route = family.find(scope["path"])
                exchange.route, handlers, is_open = route.template, route.handlers, route.is_open
            self._check_access(exchange, is_open)
            if handlers is not None:
                if exchange.span is not None:
                    template = exchange.route or scope["path"]
                    describe_route(exchange.span, scope["method"], template)
                answer = await _choose_handler(handlers, scope["method"])(exchange)
        except Problem as problem:
            answer = self._make_answer(problem, exchange)
            release_frames(problem)
        except ClientGone as gone:
            release_frames(gone)
            if exchange.span is not None:
                await exchange.receive()  # which tells the span's maker
            return CLIENT_GONE
        except Exception as fault:
            answer = self._report_failure(exchange, fault)
            release_frames(fault)
        if answer is None:
            return await self._pass_on(exchange, send)
        return await self._send(exchange, answer, send)

    def _check_access(self, exchange: Exchange, is_open: bool) -> None:
        """Identifies the caller: probes need no key, work and facts need one if there are keys.

        Raises Problem bad_request, unknown_host, unauthorized.
        """
        path = exchange.scope["path"]
        if path in PROBES:
            return
        self._access.check_host(exchange.scope, exchange.headers)
        if path in _GUARDED or (exchange.route is not None and not is_open):
            exchange.caller = self._access.find_caller(exchange.scope)

    async def _send(self, exchange: Exchange, answer: Answer, send: Send) -> int:
        length = (b"content-length", b"%d" % len(answer.body))
        headers = [*answer.headers, length, *await self._choose_headers(exchange, answer.status)]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})
        return answer.status

    async def _choose_headers(self, exchange: Exchange, status: int) -> list[tuple[bytes, bytes]]:
        """The headers of every answer.

        A refusal is sent before the rest of the body is read, and without Connection: close: if a
        connection is closed with unread bytes, proxies report an error of ours. The server reads
        and discards the rest, within bounds (service.server.protocol).
        """
        headers = [(b"x-request-id", exchange.context.request_id.encode()), *COMMON_HEADERS]
        if exchange.body_unasked or status == 408:
            headers.append(_CLOSE)  # or what follows would be taken for the body
        elif self._lifecycle.is_draining:
            with suppress(ClientGone, TimeoutError):
                async with asyncio.timeout(_DISCARD_SECONDS):
                    await _discard_body(exchange)
            headers.append(_CLOSE)
        return headers

    async def _pass_on(self, exchange: Exchange, send: Send) -> int:
        """Calls the application's routes; returns the status."""
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    *await self._choose_headers(exchange, status),
                ]
            await send(message)

        try:
            await self._app(exchange.scope, exchange.receive, send_with_headers)
        except Problem as problem:
            return await self._send(exchange, self._make_answer(problem, exchange), send)
        except Exception as fault:
            answer = self._report_failure(exchange, fault)
            if status:  # the answer has begun: all that is left is to break it off
                raise
            return await self._send(exchange, answer, send)
        return status

    def _make_answer(self, problem: Problem, exchange: Exchange) -> Answer:
        exchange.problem = problem.code
        if exchange.scope["path"] not in QUIET:
            self._metrics.count_problem(problem.code)
        if exchange.span is not None:
            describe_problem(exchange.span, problem.code)
        if (family := self._find_family(exchange.scope["path"])) is not None:
            return family.encode_problem(problem)
        body, headers = encode_problem(problem, exchange.context.request_id)
        return Answer(problem.definition.status, body, headers)

    def _find_family(self, path: str) -> Family | None:
        """The family that the path belongs to."""
        family = self._family
        return family.routes if family is not None and family.owns(path) else None

    def _report_failure(self, exchange: Exchange, fault: Exception) -> Answer:
        _log.exception("a request failed unexpectedly")
        problem = Problem("internal", "The service's log has the reason under the request id.")
        if isinstance(fault, MemoryError):  # of a body, or of the network: the image may be good
            problem = describe_no_memory()
        return self._make_answer(problem, exchange)

    def _record(self, exchange: Exchange, method: str, status: int, seconds: float) -> None:
        scope = exchange.scope
        added = getattr(scope.get("route"), "path", None)  # by somebody, to FastAPI
        path = scope["path"]
        route = exchange.route or added or (path if path in self._handlers else _UNMATCHED)
        self._metrics.count_request(route, method, status, seconds)
        level = logging.DEBUG if route in QUIET and status != 500 else logging.INFO
        if _log.isEnabledFor(level):
            extra = {
                "method": method,
                "route": route,
                "status": status,
                "duration_ms": round(seconds * 1000, 2),
            }
            if isinstance(exchange.caller, Caller):
                extra["key"] = exchange.caller.name
            if exchange.problem is not None:
                extra["code"] = exchange.problem
            if seconds > _SLOW_SECONDS and exchange.stages:
                extra["stages_ms"] = exchange.stages
            _log.log(level, "answered", extra=extra)


def _choose_handler(handlers: Mapping[str, Handler], method: str) -> Handler:
    """Raises Problem method_not_allowed."""
    handler = handlers.get(method)
    if handler is None:
        allowed = [*handlers, *(["HEAD"] if "GET" in handlers else [])]
        raise describe_status(405, {"Allow": ", ".join(allowed)})
    return handler


async def _discard_body(exchange: Exchange) -> None:
    """Reads the rest of the body, for an answer that closes the connection."""
    discarded = 0
    while exchange.body_pending and discarded < _DISCARD_BYTES:
        discarded += len(await exchange.read_chunk())
