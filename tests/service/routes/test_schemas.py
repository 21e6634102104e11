"""service.routes.schemas: real answers have the described form, to the last member."""

from typing import Any

import httpx
import pytest

from service.routes.schemas import (
    BatchBody,
    BatchItemBody,
    ClassifyBody,
    InfoBody,
    ProblemBody,
    StateBody,
)

pytestmark = pytest.mark.anyio


async def test_real_answers_have_the_described_form(
    client: httpx.AsyncClient, make_image: Any
) -> None:
    ClassifyBody.model_validate((await client.post("/classify", content=make_image())).json())
    InfoBody.model_validate((await client.get("/info")).json())
    for path in ("/livez", "/readyz", "/startupz"):
        StateBody.model_validate((await client.get(path)).json())
    for path in ("/classify", "/nowhere"):
        ProblemBody.model_validate((await client.get(path)).json())


async def test_a_batch_has_answers_and_problems(client: httpx.AsyncClient, make_image: Any) -> None:
    files = [("image", ("a", content)) for content in (make_image(), b"no image")]
    answer = (await client.post("/classify/batch", files=files)).json()
    BatchBody.model_validate(answer)
    assert [set(result) for result in answer["results"]] == [
        {"index", "predictions", "image", "timings_ms"},
        {"index", "problem"},
    ]


async def test_what_a_model_says_of_none_of_these_is_described(
    connect: Any, knowing: Any, make_image: Any
) -> None:
    files = [("image", ("a", content)) for content in (make_image(), b"no image")]
    async with connect(engine=knowing) as client:
        one = (await client.post("/classify", content=make_image("gray"))).json()
        several = (await client.post("/classify/batch", files=files)).json()
        info = (await client.get("/info")).json()
    answer = ClassifyBody.model_validate(one)
    assert answer.known == one["known"]
    assert answer.notice == one["notice"]
    item = BatchBody.model_validate(several).results[0]
    assert isinstance(item, BatchItemBody)
    assert item.known == several["results"][0]["known"]
    assert InfoBody.model_validate(info).model.known == info["model"]["known"]


async def test_hedged_answers_are_described(connect: Any, hedging: Any, make_image: Any) -> None:
    files = [("image", ("a", content)) for content in (make_image("yellow"), b"no image")]
    async with connect(engine=hedging) as client:
        path = "/classify{}?certainty=0.9"
        one = (await client.post(path.format(""), content=make_image("yellow"))).json()
        several = (await client.post(path.format("/batch"), files=files)).json()
        info = (await client.get("/info")).json()
    answer = ClassifyBody.model_validate(one)
    assert answer.hedged is not None
    assert answer.hedged.model_dump() == one["hedged"]
    item = BatchBody.model_validate(several).results[0]
    assert isinstance(item, BatchItemBody)
    assert item.hedged == answer.hedged
    assert InfoBody.model_validate(info).model.hierarchy == info["model"]["hierarchy"]


def test_every_member_is_described_in_the_answers_schema() -> None:
    """Also those with a default, which programs may rely on; but for what some models have."""
    for body in (ClassifyBody, BatchBody):
        definitions = body.model_json_schema(mode="serialization")["$defs"]
        for definition in definitions.values():
            members = set(definition["properties"])
            if "known" in members:
                members -= {"known", "notice", "hedged"}
            assert set(definition["required"]) == members
            assert definition["additionalProperties"] is False
