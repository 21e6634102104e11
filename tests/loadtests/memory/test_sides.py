"""What is measured: the service by engine and network, peers by their environments."""

import sys
from pathlib import Path

import pytest

from loadtests.errors import WrongUsage
from loadtests.memory.sides import NAMES, SERVICES, SLIM, Networks, describe_side


@pytest.fixture
def networks(repository: Path) -> Networks:
    bundles = repository / "service" / "bundles"
    return Networks(bundles / "default", bundles / "mobilenet_v1")


def test_services(repository: Path, networks: Networks) -> None:
    found = {
        name: describe_side(name, sys.executable, repository, networks, {"BNN_WORKERS": "1"})
        for name in SERVICES
    }
    for name, side in found.items():
        assert side.name == side.spec.name == name
        assert side.spec.environment["BNN_ENGINE"] == side.engine
        assert side.spec.environment["BNN_BUNDLE"] == str(side.bundle)
        assert side.spec.environment["BNN_WORKERS"] == "1"
    assert {name for name, side in found.items() if side.bundle == networks.mobilenet} == {
        "onnx-mobilenet"
    }
    assert found[SLIM].engine == "native"


@pytest.mark.parametrize("name", NAMES[len(SERVICES) :])
def test_peers_keep_their_allocator(repository: Path, networks: Networks, name: str) -> None:
    try:
        side = describe_side(name, sys.executable, repository, networks, {"BNN_WORKERS": "1"})
    except WrongUsage as fault:
        pytest.skip(str(fault))
    assert side.engine is None
    assert side.spec.environment["PEER_BUNDLE"] == str(networks.mobilenet.resolve())
    assert not [k for k in side.spec.environment if k.startswith(("MALLOC_", "BNN_"))]


def test_bundle_has_to_be_there(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=r"found no manifest\.json"):
        describe_side(SLIM, sys.executable, repository, Networks(tmp_path, tmp_path), {})
