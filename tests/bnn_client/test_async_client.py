"""bnn_client.async_client: the same as the other client, awaited."""

from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from bnn_client import (
    AsyncClient,
    BatchFault,
    InvalidImage,
    ModelNotFound,
    NoEngine,
    Overloaded,
    Retry,
)
from tests.bnn_client.answers import GOOD, refuse

pytestmark = pytest.mark.anyio


async def test_a_real_service(service_url: str, image: bytes, tmp_path: Path) -> None:
    path = tmp_path / "sample.jpg"
    path.write_bytes(image)
    async with AsyncClient(service_url) as client:
        await client.wait_until_ready()
        assert await client.is_alive()
        assert await client.is_ready()
        assert await client.is_started()
        assert (await client.classify(path, top_k=1)).best.label == "flower"
        good, bad = (await client.classify_batch([path, b"\xff\xd8\xff\xe0"])).results
        assert not isinstance(good, BatchFault)
        assert isinstance(bad, BatchFault)
        assert (await client.info()).model.classes == 22
        assert (await client.explain(path, class_="cat")).prediction.index == 6
        with pytest.raises(InvalidImage):
            await client.classify(b"\xff\xd8\xff\xe0")


async def test_of_several_models_one_is_asked(
    several_url: str, image: bytes, default_name: str
) -> None:
    async with AsyncClient(several_url) as client:
        names = [model.name for model in (await client.models()).models]
        assert names == [default_name, "second"]
        assert (await client.classify(image, model="second")).model.name == "second"
        assert (await client.classify_batch([image], model="second")).model.name == "second"
        assert (await client.info(model="second")).model.name == "second"
        assert (await client.explain(image, model="second")).prediction.label == "flower"
        with pytest.raises(ModelNotFound):
            await client.classify(image, model="third")


async def test_many_at_once_share_connections(service_url: str, image: bytes) -> None:
    labels: list[str] = []
    async with AsyncClient(service_url) as client, anyio.create_task_group() as group:

        async def classify() -> None:
            labels.append((await client.classify(image)).best.label)

        for _ in range(20):
            group.start_soon(classify)
    assert labels == ["flower"] * 20


async def test_a_busy_service_is_asked_again(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("bnn_client.async_client.anyio.sleep", sleep)
    transport, seen = script(
        refuse(429, "overloaded", "2"), GOOD, *[refuse(429, "overloaded", "1")] * 2
    )
    async with httpx.AsyncClient(transport=transport) as http:
        client = AsyncClient(http=http, retry=Retry(attempts=2))
        assert (await client.classify(b"image")).best.label == "cat"
        with pytest.raises(Overloaded):
            await client.classify(b"image")
        await client.close()
        assert not http.is_closed
    assert len(seen) == 4
    assert 2 <= waits[0] <= 3


async def test_a_service_that_will_never_be_ready(script: Any) -> None:
    transport, _ = script(
        httpx.ConnectError("x"), refuse(503, "no_engine"), refuse(503, "draining", "2")
    )
    async with httpx.AsyncClient(transport=transport) as http:
        client = AsyncClient(http=http)
        with pytest.raises(NoEngine):
            await client.wait_until_ready()
        assert not await client.is_ready()
