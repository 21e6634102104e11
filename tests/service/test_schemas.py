"""service.schemas: the OpenAPI description says what the service really takes and answers."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.schemas import ClassifyBody, InfoBody, ProblemBody
from service.settings import Settings

pytestmark = pytest.mark.anyio


def list_references(node: Any) -> Iterator[str]:
    """Every $ref below a node."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from list_references(child)
    elif isinstance(node, list):
        for child in node:
            yield from list_references(child)


@pytest.fixture
async def description(client: httpx.AsyncClient) -> Any:
    """The OpenAPI document."""
    return (await client.get("/openapi.json")).json()


async def test_lists_the_public_paths(description: Any) -> None:
    assert set(description["paths"]) == {"/classify", "/info", "/livez", "/readyz", "/metrics"}


async def test_every_reference_leads_somewhere(description: Any) -> None:
    references = set(list_references(description))
    assert references
    for reference in references:
        node = description
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
    assert "HTTPValidationError" not in str(description)


async def test_the_body_is_a_form_or_a_bare_picture(description: Any) -> None:
    operation = description["paths"]["/classify"]["post"]
    content = operation["requestBody"]["content"]
    assert set(content) == {
        "multipart/form-data",
        "image/jpeg",
        "image/png",
        "image/webp",
        "application/octet-stream",
    }
    form = content["multipart/form-data"]["schema"]
    assert (form["required"], set(form["properties"])) == (["image"], {"image"})
    (parameter,) = operation["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("top_k", "query", False)
    assert parameter["schema"]["default"] == 5
    assert parameter["schema"]["minimum"] == 1


async def test_errors_are_described_as_problems(description: Any) -> None:
    responses = description["paths"]["/classify"]["post"]["responses"]
    assert set(responses) == {"200", "400", "408", "413", "415", "422", "500", "503"}
    for status, response in responses.items():
        if status != "200":
            assert set(response["content"]) == {"application/problem+json"}
            for example in response["content"]["application/problem+json"]["examples"].values():
                assert ProblemBody(**example["value"]).status == int(status)


async def test_real_answers_have_the_described_form(
    client: httpx.AsyncClient, picture: Any
) -> None:
    ClassifyBody.model_validate((await client.post("/classify", content=picture())).json())
    InfoBody.model_validate((await client.get("/info")).json())
    for path in ("/classify", "/nowhere"):
        ProblemBody.model_validate((await client.get(path)).json())


async def test_only_described_statuses_occur(connect: Any, picture: Any, description: Any) -> None:
    described = {int(code) for code in description["paths"]["/classify"]["post"]["responses"]}
    seen = set()
    async with connect(Settings(max_body_bytes=5000, max_pixels=5000)) as client:
        for path, content in (
            ("/classify", picture()),
            ("/classify", b""),
            ("/classify", b"?" * 6000),
            ("/classify", b"GIF89a"),
            ("/classify", picture()[:-9]),
            ("/classify?top_k=0", picture()),
        ):
            seen.add((await client.post(path, content=content)).status_code)
    assert seen == {200, 400, 413, 415, 422} <= described
