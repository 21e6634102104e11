"""service.routes.description: the OpenAPI document says what the service really takes and
answers.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.messages.problems import PROBLEMS
from service.routes.schemas import ProblemBody
from service.settings.settings import Settings

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
    methods = {path: set(operations) for path, operations in description["paths"].items()}
    posts = {path: {"post"} for path in ("/classify", "/classify/batch")}
    gets = {
        path: {"get"} for path in ("/info", "/models", "/livez", "/readyz", "/startupz", "/metrics")
    }
    others = {path: found for path, found in methods.items() if not path.startswith("/v2")}
    assert others == posts | gets


async def test_names_of_operations_are_unique(description: Any) -> None:
    names = [
        operation["operationId"]
        for operations in description["paths"].values()
        for operation in operations.values()
    ]
    assert len(set(names)) == len(names)


async def test_every_reference_leads_somewhere(description: Any) -> None:
    references = set(list_references(description))
    assert references
    for reference in references:
        node = description
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
    assert "HTTPValidationError" not in str(description)


async def test_the_body_is_a_form_or_a_bare_image(description: Any) -> None:
    operation = description["paths"]["/classify"]["post"]
    content = operation["requestBody"]["content"]
    assert set(content) == {
        "multipart/form-data",
        "image/jpeg",
        "image/png",
        "image/webp",
        "image/avif",
        "application/octet-stream",
    }
    form = content["multipart/form-data"]["schema"]
    assert (form["required"], set(form["properties"])) == (["image"], {"image"})


async def test_a_batch_is_a_form_of_several(connect: Any) -> None:
    async with connect(Settings(max_batch_images=7)) as client:
        description = (await client.get("/openapi.json")).json()
    content = description["paths"]["/classify/batch"]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data"}
    images = content["multipart/form-data"]["schema"]["properties"]["image"]
    assert (images["type"], images["minItems"], images["maxItems"]) == ("array", 1, 7)


@pytest.mark.parametrize("path", ["/classify", "/classify/batch"])
async def test_parameters(description: Any, path: str) -> None:
    model, top_k, deadline, certainty, *others = description["paths"][path]["post"]["parameters"]
    assert (model["name"], model["in"]) == ("model", "query")
    explains = path == "/classify"
    assert [item["name"] for item in others] == (["explain", "class"] if explains else [])
    assert (top_k["name"], top_k["in"]) == ("top_k", "query")
    assert top_k["schema"] == {"type": "integer", "minimum": 1, "maximum": 3, "default": 3}
    assert (deadline["name"], deadline["in"]) == ("X-Deadline-Ms", "header")
    assert deadline["schema"] == {"type": "integer", "minimum": 1, "maximum": 60_000}
    assert (certainty["name"], certainty["in"]) == ("certainty", "query")
    assert certainty["schema"]["exclusiveMinimum"] == 0
    assert not certainty.get("required")
    assert not top_k.get("required")
    assert not deadline.get("required")


async def test_before_the_model_is_loaded_the_maximum_is_unknown(connect: Any, gated: Any) -> None:
    gated.close()
    async with connect(engine=gated, wait=False) as client:
        description = (await client.get("/openapi.json")).json()
        top_k = description["paths"]["/classify"]["post"]["parameters"][1]
        assert top_k["schema"] == {"type": "integer", "minimum": 1, "default": 5}
        gated.open()
        await client.app.state.inference.wait()
        description = (await client.get("/openapi.json")).json()
        top_k = description["paths"]["/classify"]["post"]["parameters"][1]
        assert top_k["schema"]["maximum"] == 3


async def test_errors_are_described_as_problems(description: Any) -> None:
    of_requests = {"400", "404", "408", "413", "422", "429", "500", "503", "504"}
    expected = {
        ("/classify", "post"): {"200", "415", *of_requests},
        ("/classify/batch", "post"): {"200", *of_requests},
        ("/livez", "get"): {"200", "500", "503"},
        ("/readyz", "get"): {"200", "500", "503"},
        ("/startupz", "get"): {"200", "500", "503"},
    }
    for (path, method), statuses in expected.items():
        responses = description["paths"][path][method]["responses"]
        assert set(responses) == statuses
        for status, response in responses.items():
            if status == "200":
                continue
            assert set(response["content"]) == {"application/problem+json"}
            examples = response["content"]["application/problem+json"]["examples"]
            for code, example in examples.items():
                assert ProblemBody(**example["value"]).status == int(status)
                may_help = PROBLEMS[code].retry_after is not None
                assert not may_help or "Retry-After" in response["headers"]


async def test_answers_headers_are_described(
    client: httpx.AsyncClient, make_image: Any, description: Any
) -> None:
    described = description["paths"]["/classify"]["post"]["responses"]["200"]["headers"]
    sent: set[str] = set()
    for query in ("", "?explain=cam"):
        answer = await client.post(f"/classify{query}", content=make_image())
        sent |= {name for name in answer.headers if name.startswith(("x-time-", "x-class-"))}
    assert {name.lower() for name in described} == {*sent, "x-request-id"}


async def test_only_described_statuses_occur(
    connect: Any, make_image: Any, description: Any
) -> None:
    described = {int(code) for code in description["paths"]["/classify"]["post"]["responses"]}
    seen = set()
    async with connect(Settings(max_body_bytes=5000, max_pixels=5000)) as client:
        for path, content in (
            ("/classify", make_image()),
            ("/classify", b""),
            ("/classify", b"?" * 6000),
            ("/classify", b"GIF89a"),
            ("/classify", make_image()[:-9]),
            ("/classify?top_k=0", make_image()),
        ):
            seen.add((await client.post(path, content=content)).status_code)
    assert seen == {200, 400, 413, 415, 422} <= described


async def test_asking_for_it_is_a_route_of_its_own(client: httpx.AsyncClient) -> None:
    await client.get("/openapi.json")
    metrics = (await client.get("/metrics")).text
    assert 'route="/openapi.json"' in metrics
    assert 'route="unmatched"' not in metrics


async def test_it_is_made_once_and_not_for_each_who_asks(client: Any) -> None:
    first = (await client.get("/openapi.json")).json()
    assert client.app.openapi() is client.app.openapi()
    assert (await client.get("/openapi.json")).json() == first
