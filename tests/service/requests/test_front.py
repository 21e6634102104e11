"""service.requests.front: ids, log lines, metrics, methods, and faults that leak nothing."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.types import Receive, Scope, Send

from service.access.access import Access
from service.access.key_file import make_key
from service.messages.exchange import Answer, ClientGone, Exchange
from service.messages.problems import Problem
from service.metrics.metrics import Metrics
from service.requests.front import Front, Handler, LateFamily, Route
from service.settings.settings import Settings
from service.work.lifecycle import Lifecycle

pytestmark = pytest.mark.anyio
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_the_request_id_is_on_every_answer(client: httpx.AsyncClient) -> None:
    for path in ("/livez", "/nowhere", "/classify", "/"):
        answer = await client.get(path, headers={"X-Request-Id": "mine"})
        assert answer.headers["x-request-id"] == "mine"
        hostile = await client.get(path, headers={"X-Request-Id": "<script>"})
        assert len(hostile.headers["x-request-id"]) == 32


async def test_every_answer_tells_browsers_to_be_careful(
    client: httpx.AsyncClient, make_image: Any
) -> None:
    answers = [await client.get(path) for path in ("/", "/info", "/metrics", "/nowhere")]
    answers.append(await client.post("/classify", content=make_image()))
    answers.append(await client.post("/classify", content=b"no image"))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 200, 415]
    for answer in answers:
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
        assert answer.headers.get_list("referrer-policy") == ["no-referrer"]


async def test_the_line_of_a_request_has_the_keys_name_and_never_the_key(
    connect: Any, make_image: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    key, lines = make_key("warehouse")
    (tmp_path / "keys.toml").write_text(lines)
    (tmp_path / "keys.toml").chmod(0o600)
    settings = Settings(api_keys_file=tmp_path / "keys.toml")
    async with connect(settings) as client:
        await client.post("/classify", content=make_image(), headers={"X-API-Key": key})
        await client.post("/classify", content=make_image())
        await client.get("/", headers={"X-API-Key": key})
    answered = [record for record in caplog.records if record.name == "service.requests"]
    assert [getattr(record, "key", None) for record in answered] == ["warehouse", None, None]
    assert key not in "".join(str(vars(record)) for record in caplog.records)


async def test_one_line_per_request(
    client: httpx.AsyncClient, make_image: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await client.post(
        "/classify?top_k=2",
        files={"image": ("holiday-secret.jpg", make_image())},
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


async def test_a_lack_of_memory_is_no_fault(
    client: Any, make_image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> bytes:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("service.requests.body.read_file", fail)
        answer = await client.post("/classify", content=make_image())
    assert (answer.status_code, answer.json()["code"]) == (503, "out_of_memory")
    assert "retry-after" in answer.headers
    assert (await client.post("/classify", content=make_image())).status_code == 200


async def test_a_fault_is_a_500_without_details_and_logged_with_them(
    connect: Any, make_engine: Any, make_image: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(make_engine):
        healthy = True

        def predict(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
            if not self.healthy:
                raise RuntimeError("internal matter")
            return super().predict(images, threads)

    engine = Failing()
    async with connect(engine=engine) as client:
        engine.healthy = False
        answer = await client.post("/classify", content=make_image())
        engine.healthy = True
        assert (await client.post("/classify", content=make_image())).status_code == 200
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
    connect: Any, make_engine: Any, make_image: Any
) -> None:
    class Poisoned(make_engine):
        def predict(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
            logits = super().predict(images, threads)
            return np.full_like(logits, np.nan) if images.mean() > 0.1 else logits

    async with connect(engine=Poisoned()) as client:
        answer = await client.post("/classify", content=make_image("white"))
    assert answer.status_code == 500


async def test_requests_are_counted_while_they_run(client: httpx.AsyncClient) -> None:
    assert "bnn_requests_in_flight 1.0" in (await client.get("/metrics")).text


# ---- the front alone, with handlers and an application of the test's


class Stage:
    """A front between messages that the test gives and those that it sends."""

    def __init__(self, handler: Handler | None = None, app: Any = None) -> None:
        self.metrics = Metrics()
        self.lifecycle = Lifecycle(60)
        handlers = {"/here": {"POST": handler, "GET": handler}} if handler else {}
        access = Access(Settings(), "127.0.0.1")
        rest: Any = (self.metrics, self.lifecycle, access, handlers)
        self.front = Front(app, *rest)
        self.events: list[str] = []
        self.sent: list[Any] = []

    async def ask(
        self, headers: dict[str, str] | None = None, method: str = "POST", path: str = "/here"
    ) -> None:
        every = {"host": "localhost", **(headers or {})}
        pairs = [(name.encode(), value.encode()) for name, value in every.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": pairs}
        await self.front({**scope, "query_string": b""}, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        self.events.append("receive")
        more = self.events.count("receive") < 3
        return {"type": "http.request", "body": b"x", "more_body": more}

    async def _send(self, message: Any) -> None:
        self.events.append(message["type"].rpartition(".")[2])
        self.sent.append(message)

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])


def refuse(code: str) -> Handler:
    """A handler that refuses."""

    async def answer(exchange: Exchange) -> Answer:
        raise Problem(code, "")

    return answer


async def accept(exchange: Exchange) -> Answer:
    """A handler that answers without reading the body."""
    return Answer(200, b"fine", [(b"content-type", b"text/plain")])


def make_app(status: int, fault: Exception | None = None) -> Any:
    """An application that answers with a status, or fails after it has begun to."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        if fault is not None:
            raise fault
        await send({"type": "http.response.body", "body": b""})

    return app


async def test_an_answer_that_has_begun_is_broken_off(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(app=make_app(200, OSError("gone")))
    with pytest.raises(OSError, match="gone"):
        await stage.ask()
    assert stage.events == ["start"]
    assert "failed unexpectedly" in caplog.text
    assert stage.metrics.registry.get_sample_value("bnn_requests_in_flight") == 0


@pytest.mark.parametrize("of", ["handler", "application"])
@pytest.mark.parametrize(
    ("headers", "status", "closes"),
    [
        ({"content-length": "9"}, 413, False),
        ({"transfer-encoding": "chunked"}, 429, False),
        ({"content-length": "9"}, 408, True),  # too slow already
        ({"content-length": "9", "expect": "100-continue"}, 429, True),  # it waits for us
        ({"content-length": "9", "expect": "100-continue"}, 200, True),
        ({"expect": "100-continue"}, 404, False),
        ({"content-length": "0"}, 404, False),
        ({}, 404, False),
    ],
)
async def test_a_refusal_leaves_before_the_body_is_read(
    of: str, headers: dict[str, str], status: int, closes: bool
) -> None:
    codes = {413: "too_large", 429: "overloaded", 408: "body_timeout", 404: "not_found"}
    if of == "handler":
        stage = Stage(handler=accept if status == 200 else refuse(codes[status]))
    else:
        stage = Stage(app=make_app(status))
    await stage.ask(headers)
    assert stage.events == ["start", "body"]
    assert stage.sent[0]["status"] == status
    assert (stage.headers.get(b"connection") == b"close") is closes


@pytest.mark.parametrize("of", ["handler", "application"])
async def test_in_a_drain_the_body_is_read_and_the_connection_closed(of: str) -> None:
    stage = Stage(handler=refuse("overloaded")) if of == "handler" else Stage(app=make_app(404))
    stage.lifecycle.begin_drain()
    await stage.ask({"content-length": "3"})
    assert stage.events == ["receive"] * 3 + ["start", "body"]
    assert stage.headers[b"connection"] == b"close"


async def test_in_a_drain_the_body_is_read_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(handler=accept)
    stage.lifecycle.begin_drain()
    monkeypatch.setattr("service.requests.front._DISCARD_BYTES", 2)
    await stage.ask({"content-length": "9"})
    assert stage.events == ["receive"] * 2 + ["start", "body"]

    async def wait() -> Any:
        await asyncio.Event().wait()

    stage = Stage(handler=accept)
    stage.lifecycle.begin_drain()
    monkeypatch.setattr("service.requests.front._DISCARD_SECONDS", 0.01)
    monkeypatch.setattr(stage, "_receive", wait)
    await stage.ask({"content-length": "9"})
    assert stage.events == ["start", "body"]


async def test_a_client_that_left_is_not_answered() -> None:
    async def leave(exchange: Exchange) -> Answer:
        raise ClientGone

    stage = Stage(handler=leave)
    await stage.ask()
    assert stage.events == []
    found = stage.metrics.registry.get_sample_value(
        "bnn_requests_total", {"route": "/here", "method": "POST", "status": "499"}
    )
    assert found == 1


async def test_head_is_get_with_a_scope_of_its_own() -> None:
    """The server strips the body by the scope it made, which stays as it is."""
    seen: list[str] = []

    async def answer(exchange: Exchange) -> Answer:
        seen.append(exchange.scope["method"])
        return Answer(200, b"fine")

    stage = Stage(handler=answer)
    await stage.ask(method="HEAD")
    assert seen == ["GET"]
    assert stage.headers[b"content-length"] == b"4"
    labels = {"route": "/here", "method": "HEAD", "status": "200"}
    assert stage.metrics.registry.get_sample_value("bnn_requests_total", labels) == 1


async def test_other_methods_are_refused_with_those_that_are_allowed() -> None:
    stage = Stage(handler=accept)
    await stage.ask(method="BREW")
    assert stage.sent[0]["status"] == 405
    assert stage.headers[b"allow"] == b"POST, GET, HEAD"


async def test_other_events_pass_through() -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    await Stage(app=app).front({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == ["lifespan"]


class Rooms:
    """A family of routes with a name in their paths."""

    made = 0

    def __init__(self, asked: list[str]) -> None:
        Rooms.made += 1
        self._asked = asked

    def find(self, path: str) -> Route:
        if path == "/rooms/none":
            raise Problem("not_found", "expected a room")
        return Route("/rooms/{name}", {"POST": self._answer}, is_open=path.endswith("open"))

    def encode_problem(self, problem: Problem) -> Answer:
        return Answer(problem.definition.status, b"oh: " + problem.code.encode())

    async def _answer(self, exchange: Exchange) -> Answer:
        self._asked.append(exchange.scope["path"])
        return Answer(200, b"in")


async def test_a_family_is_made_when_it_is_asked_for_and_has_its_own_errors() -> None:
    asked: list[str] = []
    Rooms.made = 0
    stage = Stage(accept)
    stage.front._family = LateFamily("/rooms", lambda: Rooms(asked))
    await stage.ask()
    assert Rooms.made == 0
    for path, status, body in (
        ("/rooms/one", 200, b"in"),
        ("/rooms/open", 200, b"in"),
        ("/rooms/none", 404, b"oh: not_found"),
    ):
        stage.sent.clear()
        await stage.ask(path=path)
        assert (stage.sent[0]["status"], stage.sent[1]["body"]) == (status, body)
        assert b"x-request-id" in stage.headers
    stage.sent.clear()
    await stage.ask(path="/rooms/one", method="GET")
    assert (stage.sent[0]["status"], stage.sent[1]["body"]) == (405, b"oh: method_not_allowed")
    assert (Rooms.made, asked) == (1, ["/rooms/one", "/rooms/open"])
    metrics = stage.metrics.expose("")[0].decode()
    assert 'bnn_requests_total{method="POST",route="/rooms/{name}",status="200"} 2.0' in metrics


@pytest.mark.parametrize(
    ("path", "owns"),
    [("/rooms", True), ("/rooms/", True), ("/rooms/a/b", True), ("/roomsx", False), ("/", False)],
)
def test_what_is_below_a_prefix(path: str, owns: bool) -> None:
    assert LateFamily("/rooms", lambda: Rooms([])).owns(path) is owns
