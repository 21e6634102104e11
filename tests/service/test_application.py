"""service.application: the ASGI application with and without FastAPI, and the server's events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.app import create_app
from service.application import Application
from service.settings.settings import Settings

pytestmark = pytest.mark.anyio


async def test_routes_of_ones_own_stand_behind_the_services(connect: Any, make_image: Any) -> None:
    async with connect() as client:
        app: Application = client.app
        assert (await client.get("/mine/3")).status_code == 404

        @app.api.get("/mine/{number}")
        async def mine(number: int) -> dict[str, int]:
            return {"number": number}

        @app.api.get("/info")
        async def info() -> str:
            return "hidden"

        answer = await client.get("/mine/3", headers={"X-Request-Id": "mine"})
        assert (answer.status_code, answer.json()) == (200, {"number": 3})
        assert answer.headers["x-request-id"] == "mine"
        assert answer.headers["x-content-type-options"] == "nosniff"
        wrong = await client.get("/mine/x")
        assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_parameter")
        lost = await client.get("/nothing")
        assert (lost.status_code, lost.json()["code"]) == (404, "not_found")
        assert (await client.get("/info")).json()["model"]["name"] == "tiny"
        assert (await client.post("/classify", content=make_image())).status_code == 200
        document = (await client.get("/openapi.json")).json()
        assert {"/mine/{number}", "/classify", "/info"} <= document["paths"].keys()
        metrics = (await client.get("/metrics")).text
        assert 'route="/mine/{number}",status="200"} 1.0' in metrics


async def test_without_routes_of_others_answers_are_the_same(connect: Any, make_image: Any) -> None:
    """FastAPI around the service's routes, where somebody has asked for it, changes nothing."""
    asked = [
        *(("GET", path) for path in ("/", "/livez", "/nothing", "/openapi.json", "/v2/nothing")),
        *(("POST", path) for path in ("/info", "/metrics", "/nothing", "/livez")),
        ("OPTIONS", "/classify"),
        ("HEAD", "/"),
    ]
    found: list[list[Any]] = []
    for loads in (False, True):
        async with connect(Settings(cors_origins="https://a.example")) as client:
            assert not loads or client.app.api
            answers = [
                await client.request(
                    method, path, headers={"X-Request-Id": "x", "Origin": "https://a.example"}
                )
                for method, path in asked
            ]
            found.append([(it.status_code, dict(it.headers), it.content) for it in answers])
    assert found[0] == found[1]


async def talk(app: Any, *events: str) -> list[Any]:
    """What an application says when a server tells it of its start and end."""
    sent: list[Any] = []
    waiting = list(events)

    async def receive() -> Any:
        return {"type": f"lifespan.{waiting.pop(0)}"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "lifespan", "state": {}}, receive, send)
    return sent


@pytest.mark.parametrize("loads", [False, True])
async def test_a_server_starts_and_ends_it(make_engine: Any, loads: bool) -> None:
    app = create_app(Settings(), make_engine())
    assert not loads or app.api
    sent = await talk(app, "startup", "shutdown")
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert app.state.lifecycle.is_started, "the model was loaded before the end"


@pytest.mark.parametrize("event", ["startup", "shutdown"])
async def test_what_fails_then_is_told(make_engine: Any, event: str) -> None:
    app = create_app(Settings(), make_engine())

    @asynccontextmanager
    async def fail() -> AsyncIterator[None]:
        if event == "shutdown":
            yield
        raise RuntimeError("as the test wants it")

    app.lifespan = fail
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(0)
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(RuntimeError, match="as the test wants it"):
        await app({"type": "lifespan"}, receive, send)
    assert sent[-1]["type"] == f"lifespan.{event}.failed"
    assert "as the test wants it" in sent[-1]["message"]


async def test_a_websocket_is_closed(make_engine: Any) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await create_app(Settings(), make_engine())({"type": "websocket"}, None, send)  # type: ignore[arg-type]
    assert [message["type"] for message in sent] == ["websocket.close"]


async def test_where_requests_are_traced_fastapi_makes_the_spans(
    connect: Any, make_image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with connect() as client:
        assert (await client.get("/info")).status_code == 200
        with monkeypatch.context() as patch:
            patch.setattr(trace, "get_tracer_provider", lambda: provider)
            for path in ("/info", "/metrics", "/nothing", "/openapi.json"):
                await client.get(path)
            await client.post("/classify", content=make_image())
    names = [span.name for span in exporter.get_finished_spans() if span.parent is None]
    assert names == ["GET /info", "GET", "GET /openapi.json", "POST /classify"]
