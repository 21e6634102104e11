"""The turns of the overhead: what ends one, and what is best in an answer."""

import json
import sys
from pathlib import Path

import pytest

from loadtests.clients.http_client import Answer, Pool, build_request
from loadtests.errors import ServerFault
from loadtests.overhead.run import Member, read_best
from loadtests.servers.contestants import Contestant
from loadtests.servers.server import Server, ServerSpec
from tests.loadtests.local_server import OK, Peer, serve


@pytest.mark.anyio
async def test_answers_that_are_not_200_end_it(tmp_path: Path) -> None:
    async def behave(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(OK.replace(b"200 OK", b"503 No"))

    spec = ServerSpec("other", (sys.executable, "-c", "input()"), tmp_path)
    async with serve(behave) as seen:
        with Server(spec) as server:
            contestant = Contestant(spec, form=False, bare_kind="service")
            member = Member(contestant, server, Pool(seen.address), bare=None)  # type: ignore[arg-type]
            server.address = seen.address
            server.read_cpu_seconds = lambda: 0.0  # type: ignore[method-assign]
            data = build_request("POST", "/classify", b"x").data
            with pytest.raises(ServerFault, match="expected 200 for every request"):
                await member.take_turn([data], 1, 0.01)


@pytest.mark.parametrize(
    "content",
    [{"predictions": [{"label": "cat", "score": 0.5}]}, {"label": "cat", "score": 0.5}],
    ids=["service", "peer"],
)
def test_the_best_label_and_its_score(content: object) -> None:
    body = json.dumps(content).encode()
    assert read_best("x", Answer(200, {}, body, 0.0, keep_alive=True)) == ("cat", 0.5)
    with pytest.raises(ServerFault, match="x: expected 200, found 500"):
        read_best("x", Answer(500, {}, body, 0.0, keep_alive=True))
