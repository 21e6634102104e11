"""service.oip.description: the document has the routes that there are, and what they answer."""

from typing import Any

import httpx
import pytest

from service.app import create_app
from service.oip.description import SCHEMAS, describe_open_inference
from service.oip.repository import Repository
from service.oip.routes import OpenInference
from service.settings.settings import Settings

pytestmark = pytest.mark.anyio


def find_family() -> OpenInference:
    """The routes of an application."""
    nothing: Any = None
    settings = Settings()
    state = create_app(settings).state
    inference = state.inference
    repository = Repository(settings, state.lifecycle, state.access, inference.changes)
    return OpenInference(state.lifecycle, inference.catalogue, nothing, repository)


def test_has_every_route_with_its_method() -> None:
    family, paths = find_family(), describe_open_inference()
    assert paths.keys() == family.templates
    for template, operations in paths.items():
        route = family.find(template.replace("{model}", "m").replace("{version}", "1"))
        assert route.template == template
        assert {method.lower() for method in route.handlers} == operations.keys()
        names = {part.strip("{}") for part in template.split("/") if part.startswith("{")}
        for operation in operations.values():
            described = operation.get("parameters", [])
            assert {item["name"] for item in described if item["in"] == "path"} == names


async def test_only_described_statuses_occur(client: httpx.AsyncClient) -> None:
    described = describe_open_inference()
    infer = {int(code) for code in described["/v2/models/{model}/infer"]["post"]["responses"]}
    seen = set()
    for path, headers in (
        ("/v2/models/tiny/infer", {}),
        ("/v2/models/other/infer", {}),
        ("/v2/models/tiny/infer", {"Content-Encoding": "br"}),
        ("/v2/models/tiny/infer", {"Inference-Header-Content-Length": "-1"}),
    ):
        seen.add((await client.post(path, content=b"{}", headers=headers)).status_code)
    assert seen == {400, 404, 415} <= infer


async def test_references_lead_to_its_schemas(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert SCHEMAS.keys() <= document["components"]["schemas"].keys()
    assert describe_open_inference().items() <= document["paths"].items()
