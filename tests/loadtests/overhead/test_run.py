"""The turns of the overhead: what ends one, and what is best in an answer."""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtests.clients.http_client import Address, Answer, Pool, build_request
from loadtests.errors import ServerFault
from loadtests.overhead.run import Member, list_contestants, read_best
from loadtests.servers.contestants import Contestant
from loadtests.servers.server import Server, ServerSpec
from tests.loadtests.local_server import OK, Peer, Turns, answer_all, serve

DATA = build_request("POST", "/classify", b"x").data


@contextmanager
def make_member(address: Address, folder: Path) -> Iterator[Member]:
    """A member whose requests go to a server of the test's own; its process does nothing."""
    spec = ServerSpec("other", (sys.executable, "-c", "input()"), folder)
    with Server(spec) as server:
        server.read_cpu_seconds = lambda: 0.0  # type: ignore[method-assign]
        contestant = Contestant(spec, form=False, bare_kind="service")
        pool = Pool(address)
        yield Member(contestant, server, pool, bare=None)  # type: ignore[arg-type]
        pool.close()


@pytest.mark.anyio
async def test_answers_that_are_not_200_end_it(tmp_path: Path) -> None:
    async def behave(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(OK.replace(b"200 OK", b"503 No"))

    async with serve(behave) as seen:
        fails = pytest.raises(ServerFault, match="expected 200 for every request")
        with make_member(seen.address, tmp_path) as member, fails:
            await member.take_turn([DATA], 1, 0.01)


@pytest.mark.anyio
async def test_who_accepts_no_connection_ends_it(tmp_path: Path) -> None:
    async with serve(answer_all) as seen:
        address = seen.address
    fails = pytest.raises(ServerFault, match="other: no connection: refused at connect")
    with make_member(address, tmp_path) as member, fails:
        await member.take_turn([DATA], 1, 0.01)


@pytest.mark.anyio
async def test_no_turn_uses_connections_that_were_idle_since_the_one_before(tmp_path: Path) -> None:
    turns = Turns()
    async with serve(turns.behave) as seen:
        with make_member(seen.address, tmp_path) as member:
            for turns.turn in range(3):
                taken = await member.take_turn([DATA], 2, 0.01)
                assert len(taken.run.outcomes) > 0
    assert turns.stale == 0


def test_another_bundle_for_onnx_runtime_is_served_by_services_and_peers(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtests.overhead.run.describe_peer", lambda name, folder: folder)
    options = argparse.Namespace(
        service=[], env=[], form=False, peer=["fastapi"], peer_bundle=None, onnx_bundle=None
    )
    own = "service/bundles/mobilenet_v1"
    service, peer = list_contestants(options, "mobilenet_v1")
    assert (service.spec.environment["BNN_BUNDLE"], peer) == (own, repository / own)
    options.onnx_bundle = tmp_path
    service, peer = list_contestants(options, "mobilenet_v1")
    assert (service.spec.environment["BNN_BUNDLE"], peer) == (str(tmp_path), tmp_path)
    assert service.spec.environment["BNN_ENGINE"] == "onnx"
    (service,) = list_contestants(options, "default")  # its engine reads no ONNX graph
    assert service.spec.environment["BNN_BUNDLE"] == "service/bundles/default"


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
