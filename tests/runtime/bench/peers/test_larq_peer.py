"""The larq-compute-engine peer: what it keeps and refuses, and a real run in its environment."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runtime.bench.peer_networks import LARQ_CALLS
from runtime.bench.peer_process import PeerProcess
from runtime.bench.peers import larq_peer


class Interpreter:
    """Looks like larq's."""

    def __init__(self, model: bytes, num_threads: int, **settings: bool) -> None:
        self.settings = settings

    def predict(self, images: Any) -> None:
        assert images.shape == (1, 224, 224, 3)


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[bytes]:
    """Stand-ins for the packages; the list says what conversion yields, and empties."""
    names = ["", ".tflite", ".tflite.python", ".tflite.python.interpreter"]
    modules = {f"larq_compute_engine{name}": ModuleType("larq") for name in names}
    modules["tensorflow"] = ModuleType("tensorflow")
    modules["tensorflow"].__dict__["__version__"] = "2"
    modules["larq_compute_engine.tflite.python.interpreter"].__dict__["Interpreter"] = Interpreter
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    models = [b"model"]
    monkeypatch.setattr(larq_peer, "_version", lambda: "larq-compute-engine 0")
    monkeypatch.setattr(larq_peer, "_convert_model", models.pop)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    return models


def test_each_setting_is_a_call(converted: list[bytes]) -> None:
    facts, calls = larq_peer.open_peer({"threads": 1})
    assert facts["model_bytes"] == len(b"model")
    assert set(calls) == set(LARQ_CALLS) == set(larq_peer.SETTINGS)
    for call in calls.values():
        call()


def test_environment_keeps_the_converted_model(converted: list[bytes]) -> None:
    for _ in range(2):  # the second time there is nothing left to convert
        assert larq_peer.open_peer({"threads": 1})[0]["model_bytes"] == len(b"model")
    assert converted == []


def test_model_that_stayed_float_is_refused(converted: list[bytes]) -> None:
    converted[:] = [b"x" * (larq_peer.MODEL_BYTES_MOST + 1)]
    with pytest.raises(RuntimeError, match="expected a converted model of at most 8000000 bytes"):
        larq_peer.open_peer({"threads": 1})


@pytest.mark.slow
def test_network_runs_in_its_environment(repository: Path) -> None:
    python = repository / ".venv-larq" / "bin" / "python"
    if not python.is_file():
        pytest.skip("larq-compute-engine is not installed: make bench-peers")
    with PeerProcess(str(python), "larq_peer", {"threads": 1}) as peer:
        assert peer.facts["version"].startswith("larq-compute-engine ")
        assert len(peer.time("indirect BGEMM, XNNPACK", 1)["whole"]) == 1
