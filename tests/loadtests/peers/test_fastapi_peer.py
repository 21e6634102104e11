"""The FastAPI peer: its routes in process, and a real run in its environment."""

import importlib
import sys
from pathlib import Path

import httpx
import pytest

from loadtests.images import generate_jpegs
from loadtests.peers.network import Network
from tests.loadtests.peers.real_run import check_answers

pytestmark = pytest.mark.anyio
NAME = "loadtests.peers.fastapi_peer"


async def test_routes(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = repository / "service" / "bundles" / "mobilenet_v1"
    monkeypatch.setenv("PEER_BUNDLE", str(bundle))
    module = importlib.import_module(NAME)
    monkeypatch.delitem(sys.modules, NAME)
    (picture,) = generate_jpegs(3, 1, (200, 150))
    transport = httpx.ASGITransport(module.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://peer") as client:
        assert (await client.get("/readyz")).status_code == 200
        answer = await client.post("/classify", content=picture.data)
    assert answer.json() == Network(bundle).classify(picture.data)


@pytest.mark.slow
async def test_answers_are_the_network_s(repository: Path) -> None:
    await check_answers("fastapi", repository)
