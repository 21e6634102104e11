"""service.routes.key_description: what the document says of keys is what the service does."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from service.access.key_file import make_key
from service.messages.problems import PROBLEMS
from service.routes.key_description import describe_keys
from service.settings.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture
def key_and_settings(tmp_path: Path) -> tuple[str, Settings]:
    """A key, and the settings of a service that lets it in."""
    key, lines = make_key("app", rate=0.001, burst=1)
    file = tmp_path / "keys.toml"
    file.write_text(lines)
    file.chmod(0o600)
    return key, Settings(api_keys_file=file)


def list_operations(document: Any) -> list[tuple[str, str, Any]]:
    """Method, path and operation of each."""
    return [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


async def test_an_operation_asks_for_a_key_where_the_service_does(
    connect: Any, key_and_settings: Any
) -> None:
    _, settings = key_and_settings
    async with connect(settings) as client:
        document = (await client.get("/openapi.json")).json()
        validate(document, cls=OpenAPIV31SpecValidator)
        asked = set()
        for method, path, operation in list_operations(document):
            url = path.replace("{model}", "tiny").replace("{version}", "1")
            answer = await client.request(method, url)
            assert (answer.status_code == 401) == bool(operation["security"]), path
            assert (answer.status_code == 401) == ("401" in operation["responses"]), path
            if answer.status_code == 401:
                described = operation["responses"]["401"]
                (kind,) = described["content"]
                assert answer.headers["content-type"] == kind
                assert {name.lower() for name in described["headers"]} <= answer.headers.keys()
                asked.add(path)
    assert {"/classify", "/classify/batch", "/info", "/v2", "/v2/models/{model}/infer"} <= asked


async def test_each_way_to_send_a_key_opens_the_door(connect: Any, key_and_settings: Any) -> None:
    key, settings = key_and_settings
    async with connect(settings) as client:
        document = (await client.get("/openapi.json")).json()
        schemes = document["components"]["securitySchemes"]
        (*choices,) = document["paths"]["/info"]["get"]["security"]
        assert [list(choice) for choice in choices] == [[name] for name in schemes]
        for scheme in schemes.values():
            bearer = {"Authorization": f"Bearer {key}"}
            headers = bearer if scheme["type"] == "http" else {scheme["name"]: key}
            assert (await client.get("/info", headers=headers)).status_code == 200


async def test_a_key_s_rate_is_told_where_images_are_taken(
    connect: Any, key_and_settings: Any, make_image: Any
) -> None:
    key, settings = key_and_settings
    async with connect(settings) as client:
        document = (await client.get("/openapi.json")).json()
        headers = {"X-API-Key": key}
        statuses = [
            (await client.post("/classify", content=make_image(), headers=headers)).status_code
            for _ in range(2)
        ]
    assert statuses == [200, 429]
    for _, path, operation in list_operations(document):
        told = [text for text in str(operation["responses"]).split("`") if text == "rate_limited"]
        assert bool(told) == (path.startswith("/classify") or path.endswith("/infer")), path
    responses = document["paths"]["/classify"]["post"]["responses"]
    for status, codes in {"401": ["unauthorized"], "429": ["overloaded", "rate_limited"]}.items():
        row = responses[status]
        assert list(row["content"]["application/problem+json"]["examples"]) == codes
        assert all(PROBLEMS[code].title in row["description"] for code in codes)


async def test_without_keys_nothing_is_said_of_them(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert "securitySchemes" not in document["components"]
    for _, _, operation in list_operations(document):
        assert "security" not in operation
        assert "401" not in operation["responses"]


def test_what_others_added_keeps_its_own() -> None:
    own: dict[str, Any] = {"responses": {}, "security": [{"mine": []}]}
    document: dict[str, Any] = {
        "components": {"securitySchemes": {"mine": {"type": "mutualTLS"}}},
        "paths": {"/mine": {"get": own}, "/v2x": {"get": {"responses": {}}}},
    }
    describe_keys(document)
    assert own == {"responses": {}, "security": [{"mine": []}]}
    assert document["paths"]["/v2x"]["get"] == {"responses": {}, "security": []}
    assert list(document["components"]["securitySchemes"]) == ["mine", "bearer", "api_key"]
