"""Starts a peer in its own environment and asks it for a label; what all their tests do."""

import json
from pathlib import Path

import pytest

from loadtests.clients.http_client import ask
from loadtests.clients.images import generate_jpegs
from loadtests.clients.requests import build_classify
from loadtests.errors import WrongUsage
from loadtests.peers.network import Network
from loadtests.servers.contestants import Contestant, describe_peer
from loadtests.servers.server import Server


def require_peer(name: str, bundle: Path) -> Contestant:
    """The peer; where its environment is missing, skips naming it."""
    try:
        return describe_peer(name, bundle)
    except WrongUsage:
        pytest.skip(f"peer {name} is not installed (make serving-peers)")


async def check_answers(name: str, repository: Path) -> None:
    """The peer's answers are those of its network, called directly."""
    bundle = repository / "service" / "bundles" / "mobilenet_v1"
    peer = require_peer(name, bundle)
    network = Network(bundle)
    with Server(peer.spec) as server:
        await server.wait_until_ready()
        for image in generate_jpegs(3, 2, (200, 150)):
            answer = await ask(server.address, build_classify(image, peer.form), 30)
            assert answer.status == 200, answer.body
            content, expected = json.loads(answer.body), network.classify(image.data)
            assert content["label"] == expected["label"]
            assert content["score"] == pytest.approx(expected["score"], abs=1e-6)
