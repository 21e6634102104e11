"""Around every request: its id, its metrics, its log line, and the answer when a handler fails."""

import logging
from time import perf_counter

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.body import discard_rest
from service.logs import RequestContext, log_with, read_context
from service.metrics import Metrics, RequestLabels
from service.problems import Problem, answer_problem

_log = logging.getLogger("service.requests")
# On every answer: its type is not guessed, and our address is not told to other sites.
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_UNMATCHED = "unmatched"
# Asked for every few seconds by machines: logged for debugging only.
_PROBES = frozenset({"/livez", "/readyz", "/metrics"})


class RequestMiddleware:
    """Pure ASGI: unlike Starlette's base class it hides no disconnect and adds no task."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; a lifespan event passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        context = read_context(headers.get("x-request-id"), headers.get("traceparent"))
        state = scope.setdefault("state", {})
        state["request_id"] = context.request_id
        state["started"] = perf_counter()
        with log_with(context), self._metrics.in_flight.track_inprogress():
            status = await self._serve(scope, receive, send, context)
            self._record(scope, status, perf_counter() - state["started"])

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, context: RequestContext
    ) -> int:
        """Runs the application; returns the status of the answer."""
        status = 0
        body_pending = _announces_body(Headers(scope=scope))

        async def receive_and_watch() -> Message:
            nonlocal body_pending
            message = await receive()
            body_pending = bool(message.get("more_body", False))
            return message

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status >= 400 and status != 408 and body_pending:
                    await discard_rest(receive)
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = context.request_id
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        try:
            await self._app(scope, receive_and_watch, send_with_headers)
        except Exception:
            _log.exception("a request failed unexpectedly")
            if status:  # the answer has begun: all that is left is to break it off
                raise
            problem = Problem("internal", "The service's log has the reason under the request id.")
            answer = answer_problem(problem, context.request_id)
            await answer(scope, receive, send_with_headers)
        return status

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", _UNMATCHED)
        self._metrics.count_request(RequestLabels(route, scope["method"], status), seconds)
        _log.log(
            logging.DEBUG if route in _PROBES and status != 500 else logging.INFO,
            "answered",
            extra={
                "method": scope["method"],
                "route": route,
                "status": status,
                "duration_ms": round(seconds * 1000, 2),
            },
        )


def _announces_body(headers: Headers) -> bool:
    """Whether the client is sending a body without waiting to be asked (Expect: 100-continue)."""
    if "expect" in headers:
        return False
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
