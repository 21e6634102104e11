"""service.middleware: ids, log lines, metrics, and faults that leak nothing."""

import logging
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.types import Receive, Scope, Send

from service.metrics import Metrics
from service.middleware import RequestMiddleware

pytestmark = pytest.mark.anyio
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_the_request_id_is_on_every_answer(client: httpx.AsyncClient) -> None:
    for path in ("/livez", "/nowhere", "/classify", "/"):
        answer = await client.get(path, headers={"X-Request-Id": "mine"})
        assert answer.headers["x-request-id"] == "mine"
        hostile = await client.get(path, headers={"X-Request-Id": "<script>"})
        assert len(hostile.headers["x-request-id"]) == 32


async def test_every_answer_tells_browsers_to_be_careful(
    client: httpx.AsyncClient, picture: Any
) -> None:
    answers = [await client.get(path) for path in ("/", "/info", "/metrics", "/nowhere")]
    answers.append(await client.post("/classify", content=picture()))
    answers.append(await client.post("/classify", content=b"no picture"))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 200, 415]
    for answer in answers:
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
        assert answer.headers.get_list("referrer-policy") == ["no-referrer"]


async def test_one_line_per_request(
    client: httpx.AsyncClient, picture: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await client.post(
        "/classify?top_k=2",
        files={"image": ("holiday-secret.jpg", picture())},
        headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
    )
    await client.get("/secret-path")
    await client.get("/livez")
    lines = [record for record in caplog.records if record.name == "service.requests"]
    assert [(line.method, line.route, line.status) for line in lines] == [
        ("POST", "/classify", 200),
        ("GET", "unmatched", 404),
    ]
    assert all(line.duration_ms > 0 for line in lines)
    ours = [vars(record) for record in caplog.records if record.name != "httpx"]
    assert "secret" not in str(ours)


async def test_a_fault_is_a_500_without_details_and_logged_with_them(
    connect: Any, make_engine: Any, picture: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(make_engine):
        healthy = True

        def predict(self, images: np.ndarray) -> np.ndarray:
            if not self.healthy:
                raise RuntimeError("internal matter")
            return super().predict(images)

    engine = Failing()
    async with connect(engine=engine) as client:
        engine.healthy = False
        answer = await client.post("/classify", content=picture())
        engine.healthy = True
        assert (await client.post("/classify", content=picture())).status_code == 200
        metrics = (await client.get("/metrics")).text
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "internal"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "matter" not in answer.text
    record = next(record for record in caplog.records if record.levelname == "ERROR")
    assert "internal matter" in str(record.exc_info)
    assert 'bnn_requests_total{method="POST",route="/classify",status="500"} 1.0' in metrics


async def test_networks_that_answer_nan_are_a_500(
    connect: Any, make_engine: Any, picture: Any
) -> None:
    class Poisoned(make_engine):
        def predict(self, images: np.ndarray) -> np.ndarray:
            logits = super().predict(images)
            return np.full_like(logits, np.nan) if images.mean() > 0.1 else logits

    async with connect(engine=Poisoned()) as client:
        answer = await client.post("/classify", content=picture("white"))
    assert answer.status_code == 500


async def test_requests_are_counted_while_they_run(client: httpx.AsyncClient) -> None:
    assert "bnn_requests_in_flight 1.0" in (await client.get("/metrics")).text


async def test_an_answer_that_has_begun_is_broken_off() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise OSError("gone")

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "headers": []}
    with pytest.raises(OSError, match="gone"):
        await RequestMiddleware(app, Metrics())(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start"]


@pytest.mark.parametrize(
    ("status", "headers", "read_on"),
    [
        (413, {"content-length": "9"}, True),
        (404, {"transfer-encoding": "chunked"}, True),
        (408, {"content-length": "9"}, False),  # too slow already
        (413, {"content-length": "9", "expect": "100-continue"}, False),  # it waits for us
        (404, {}, False),
        (200, {"content-length": "9"}, False),
    ],
)
async def test_a_refused_body_is_read_on_before_the_answer(
    status: int, headers: dict[str, str], read_on: bool
) -> None:
    events: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> dict[str, Any]:
        events.append("receive")
        return {"type": "http.request", "body": b"x", "more_body": len(events) < 3}

    async def send(message: Any) -> None:
        events.append(message["type"])

    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "headers": pairs}
    await RequestMiddleware(app, Metrics())(scope, receive, send)
    answer = ["http.response.start", "http.response.body"]
    assert events == (["receive"] * 3 + answer if read_on else answer)


async def test_other_events_pass_through() -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    await RequestMiddleware(app, Metrics())({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == ["lifespan"]
