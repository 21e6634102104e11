"""service.routes.api: FastAPI's document is the service's, and its faults leave as problems."""

from typing import Any

import pytest
from fastapi.responses import JSONResponse

from service.app import create_app
from service.settings.settings import Settings

pytestmark = pytest.mark.anyio


async def test_the_document_is_answered_as_fastapi_would_write_it(connect: Any) -> None:
    async with connect() as client:
        answer = await client.get("/openapi.json")
        assert answer.content == JSONResponse(client.app.openapi()).body
        assert answer.headers["content-type"] == "application/json"
        assert client.app.api.openapi() is client.app.openapi()
        assert client.app.api.version == client.app.version


def test_nothing_is_answered_by_it_alone(make_engine: Any) -> None:
    app = create_app(Settings(), make_engine())
    assert [route.path for route in app.api.routes] == ["/openapi.json"]  # type: ignore[attr-defined]
    assert app.api.openapi_schema is None, "the model is not loaded yet"
    assert "/classify" in app.openapi()["paths"]


async def test_a_fault_in_a_route_of_ones_own_is_a_problem(connect: Any) -> None:
    async with connect() as client:

        @client.app.api.get("/broken")
        async def broken() -> None:
            raise RuntimeError("internal matter")

        answer = await client.get("/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "matter" not in answer.text
