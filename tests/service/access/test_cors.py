"""service.access.cors: what browsers are told, by Starlette's real middleware."""

from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from service.access.cors import describe_cors
from service.settings.settings import Settings

pytestmark = pytest.mark.anyio

PAGE = "https://app.example"
HEADERS = "authorization, x-api-key, x-deadline-ms, x-request-id, content-type, traceparent"


def connect(*origins: str) -> httpx.AsyncClient:
    """A client of an application with one route."""

    async def classify(_: Request) -> JSONResponse:
        return JSONResponse({}, headers={"X-Request-Id": "1"})

    app = Starlette(routes=[Route("/classify", classify, methods=["POST"])])
    app.add_middleware(CORSMiddleware, **describe_cors(Settings(cors_origins=origins)))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


async def ask(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    """What a browser asks before it sends a key from a page."""
    asked = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": HEADERS,
    }
    changes = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.options("/classify", headers=asked | changes)


@pytest.mark.parametrize("origins", [(PAGE, "https://b.example"), ("*",)])
async def test_a_page_of_an_allowed_origin_may_ask_with_a_key(origins: Any) -> None:
    async with connect(*origins) as client:
        before = await ask(client)
        answer = await client.post("/classify", headers={"Origin": PAGE})
    assert before.status_code == 200
    shown = "*" if origins == ("*",) else PAGE
    for response in (before, answer):
        assert response.headers["access-control-allow-origin"] == shown
        assert "access-control-allow-credentials" not in response.headers
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"X-Request-Id", "X-Time-Infer-Ms", "X-Time-Total-Ms", "Retry-After"} <= set(exposed)


@pytest.mark.parametrize(
    "change",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://app.example"},
        {"Origin": "null"},
        {"Access_Control_Request_Method": "DELETE"},
        {"Access_Control_Request_Headers": "cookie"},
    ],
)
async def test_nothing_else_is_allowed(change: dict[str, str]) -> None:
    async with connect(PAGE) as client:
        assert (await ask(client, **change)).status_code == 400
        answer = await client.post("/classify", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    assert "Origin" in answer.headers["vary"]


async def test_only_named_origins_may_reach_into_a_private_network() -> None:
    private = {"Access_Control_Request_Private_Network": "true"}
    async with connect(PAGE) as client:
        answer = await ask(client, **private)
    assert answer.headers["access-control-allow-private-network"] == "true"
    async with connect("*") as client:
        assert (await ask(client, **private)).status_code == 400
