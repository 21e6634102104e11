"""The peers that a service is compared with: how each is started, and what says so if it can't."""

from pathlib import Path

import pytest

from loadtests.errors import WrongUsage
from loadtests.servers.contestants import PACKAGES, PEERS, describe_peer


@pytest.mark.parametrize("name", PEERS)
def test_peer_runs_in_an_environment_of_its_own(name: str, tmp_path: Path) -> None:
    package = name.partition("-")[0]
    python = tmp_path / f".venv-{package}" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    peer = describe_peer(name, tmp_path / "bundle", tmp_path)
    assert peer.is_peer
    assert peer.name == name
    assert peer.python == str(python)
    assert peer.spec.environment["PEER_BUNDLE"] == str(tmp_path / "bundle")
    assert any(f"loadtests.peers.{package}_peer" in part for part in peer.spec.command)


@pytest.mark.parametrize("name", PACKAGES)
def test_module_and_lock_of_each_peer_exist(name: str, repository: Path) -> None:
    assert (repository / "loadtests" / "peers" / f"{name}_peer.py").is_file()
    assert (repository / ".locks" / f"peer-{name}.txt").is_file()
    makefile = (repository / "runtime" / "bench" / "measure.mk").read_text()
    (line,) = [line for line in makefile.splitlines() if line.startswith("SERVING_PEERS :=")]
    assert name in line.split()


def test_peer_that_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="make serving-peers"):
        describe_peer("fastapi", tmp_path, tmp_path)
