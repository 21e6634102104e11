"""The result of create_app: the service as an ASGI application, with its components."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Receive, Scope, Send

from service.messages.problems import describe_status
from service.requests.tracing import are_requests_traced
from service.routes.late_api import LateApi

if TYPE_CHECKING:
    from fastapi import FastAPI

    from service.access.access import Access
    from service.memory.budget import Budget
    from service.metrics.metrics import Metrics
    from service.requests.gate import Gate
    from service.work.admission import Admission
    from service.work.inference import Inference
    from service.work.lifecycle import Lifecycle


@dataclass(frozen=True)
class State:
    """The components of an application, for the code that serves it."""

    inference: Inference
    lifecycle: Lifecycle
    admission: Admission
    budget: Budget
    metrics: Metrics
    access: Access
    gate: Gate


class Application:
    """Serves the service's routes without FastAPI, and FastAPI's routes only when they are needed.

    FastAPI is needed once `api` was used, or if requests are traced: it makes the spans. `surround`
    puts the service's routes in front of those of another application.
    """

    def __init__(
        self,
        version: str,
        state: State,
        surround: Callable[[ASGIApp], ASGIApp],
        late_api: LateApi,
        lifespan: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        self.version = version
        self.state = state
        #: Inside it the model is loaded and served, at its end all threads end. An ASGI server
        #: enters it by itself.
        self.lifespan = lifespan
        self._routes = surround(_answer_nothing)
        self._late_api = late_api
        self._api: FastAPI | None = None  # through which requests go

    @property
    def api(self) -> FastAPI:
        """The FastAPI application behind the service's routes, for additional routes."""
        self._api = self._late_api.get()
        return self._api

    def openapi(self) -> dict[str, Any]:
        """The document of the API."""
        return self._late_api.get().openapi()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request, or a server's start and end."""
        if self._api is None and are_requests_traced():
            self._api = await self._late_api.load()
        if self._api is not None:
            await self._api(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._routes(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """ASGI's lifespan protocol."""
        event = "startup"
        await receive()
        try:
            async with self.lifespan():
                await send({"type": "lifespan.startup.complete"})
                event = "shutdown"
                await receive()
        except BaseException:
            await send({"type": f"lifespan.{event}.failed", "message": traceback.format_exc()})
            raise
        await send({"type": "lifespan.shutdown.complete"})


async def _answer_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers behind the service's routes if none were added. Raises Problem not_found."""
    if scope["type"] == "http":
        raise describe_status(404)
    await send({"type": "websocket.close", "code": 1000})
