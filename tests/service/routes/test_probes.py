"""service.routes.probes: what orchestrators are told, whatever else goes on."""

from typing import Any

import pytest

from service.routes.probes import list_probes
from service.work.lifecycle import Lifecycle

pytestmark = pytest.mark.anyio
PROBES = {"/livez": "ok", "/readyz": "ready", "/startupz": "started"}


def test_there_are_three_and_get_is_their_method() -> None:
    assert {path: set(methods) for path, methods in list_probes(Lifecycle(1)).items()} == {
        path: {"GET"} for path in PROBES
    }


@pytest.mark.parametrize("path", PROBES)
async def test_a_healthy_service_says_so(client: Any, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()) == (200, {"status": PROBES[path]})
    assert answer.headers["content-type"] == "application/json"
    head = await client.head(path)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(answer.content)))
    assert (await client.post(path)).status_code == 405


async def test_probes_tell_the_phases_apart(connect: Any, gated: Any) -> None:
    gated.close()
    async with connect(engine=gated, wait=False) as client:
        state = client.app.state.lifecycle
        assert [(await client.get(path)).status_code for path in PROBES] == [200, 503, 503]
        gated.open()
        await client.app.state.inference.wait()
        assert [(await client.get(path)).status_code for path in PROBES] == [200, 200, 200]
        state.begin_drain()
        answers = [await client.get(path) for path in PROBES]
        assert [answer.status_code for answer in answers] == [200, 503, 200]
        assert answers[1].json()["code"] == "draining"
        assert all(answer.headers["connection"] == "close" for answer in answers)
        state.watch(lambda: 1e9)
        answer = await client.get("/livez")
        assert (answer.status_code, answer.json()["code"]) == (503, "hanging")
