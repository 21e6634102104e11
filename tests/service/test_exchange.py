"""service.connection: what waits for a client that has left is never started."""

import asyncio
import threading
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.requests import ClientDisconnect, Request

from service.app import create_app
from service.connection import run_while_connected
from service.problems import Problem
from service.settings import Settings

pytestmark = pytest.mark.anyio
SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/classify",
    "headers": [],
    "query_string": b"",
    "root_path": "",
}


class Client:
    """One request over ASGI whose client can leave; `statuses` is what it was sent."""

    def __init__(self, app: Any, body: bytes) -> None:
        self.leave = asyncio.Event()
        self.statuses: list[int] = []
        self._body: bytes | None = body
        self.task = asyncio.create_task(app(dict(SCOPE), self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.statuses.append(message["status"])


async def test_a_queued_picture_of_a_client_that_left_is_skipped(
    make_engine: Any, picture: Any
) -> None:
    began, release = threading.Event(), threading.Event()

    class Slow(make_engine):
        pictures = -2  # the warm-up's

        def predict(self, images: np.ndarray) -> np.ndarray:
            self.pictures += 1
            if self.pictures > 0:
                began.set()
                assert release.wait(20)
            return super().predict(images)

    engine = Slow()
    app = create_app(Settings(), engine)
    async with app.router.lifespan_context(app):
        await app.state.inference.wait()
        first = Client(app, picture())
        assert await asyncio.to_thread(began.wait, 20)
        leaving, staying = Client(app, picture()), Client(app, picture())
        await asyncio.sleep(0.05)
        leaving.leave.set()
        await leaving.task  # while the first one still computes
        release.set()
        await asyncio.gather(first.task, staying.task)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            metrics = (await client.get("/metrics")).text
    assert (first.statuses, leaving.statuses, staying.statuses) == ([200], [499], [200])
    assert engine.pictures == 2
    assert 'bnn_requests_total{method="POST",route="/classify",status="499"} 1.0' in metrics
    assert 'bnn_requests_total{method="POST",route="/classify",status="200"} 2.0' in metrics


def make_request(messages: list[str]) -> Request:
    """A request that receives these messages, then nothing."""

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()
        return {"type": messages.pop(0)}

    return Request(dict(SCOPE), receive)


async def test_results_and_faults_of_the_work_pass_through() -> None:
    async def answer() -> int:
        return 5

    async def fail() -> int:
        raise Problem("too_large", "")

    before = asyncio.all_tasks()
    request = make_request(["http.request"])
    assert await run_while_connected(request, answer()) == 5
    with pytest.raises(Problem, match="too_large"):
        await run_while_connected(request, fail())
    assert asyncio.all_tasks() == before


async def test_work_is_cancelled_when_the_client_leaves_or_the_request_is() -> None:
    before = asyncio.all_tasks()
    cancelled = 0

    async def wait() -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        finally:
            cancelled += 1

    with pytest.raises(ClientDisconnect):
        await run_while_connected(make_request(["http.request", "http.disconnect"]), wait())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await run_while_connected(make_request([]), wait())
    assert cancelled == 2
    assert asyncio.all_tasks() == before
