"""The FastAPI peer: its routes in process, and a real run in its environment."""

import importlib
import sys
from pathlib import Path

import httpx
import pytest

from loadtests.clients.images import generate_jpegs
from loadtests.peers.network import Network
from tests.loadtests.peers.real_run import check_answers

pytestmark = pytest.mark.anyio
NAME = "loadtests.peers.fastapi_peer"


@pytest.mark.parametrize("handler", ["body", "form", "thread"])
async def test_routes(handler: str, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = repository / "service" / "bundles" / "mobilenet_v1"
    monkeypatch.setenv("PEER_BUNDLE", str(bundle))
    monkeypatch.setenv("PEER_HANDLER", handler)
    monkeypatch.delitem(sys.modules, NAME, raising=False)  # it reads the environment once
    module = importlib.import_module(NAME)
    (image,) = generate_jpegs(3, 1, (200, 150))
    transport = httpx.ASGITransport(module.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://peer") as client:
        assert (await client.get("/readyz")).status_code == 200
        form = {"image": (image.name, image.data)}
        sent = {"content": image.data} if handler == "body" else {"files": form}
        answer = await client.post("/classify", **sent)  # type: ignore[arg-type]
    assert answer.json() == Network(bundle).classify(image.data)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fastapi", "fastapi-form", "fastapi-thread"])
async def test_answers_are_the_network_s(name: str, repository: Path) -> None:
    await check_answers(name, repository)
