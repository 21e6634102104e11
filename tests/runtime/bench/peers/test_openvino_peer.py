"""The OpenVINO peer, in its own environment, on a small graph."""

from pathlib import Path

import onnx
import pytest

from models.export.mobilenet_graph import build_mobilenet_graph
from models.networks.mobilenet import MobileNetV1, find_mobilenet_spec
from runtime.bench.peer_process import PeerProcess


def test_graph_runs_at_a_fixed_batch(tmp_path: Path, repository: Path) -> None:
    python = repository / ".venv-openvino" / "bin" / "python"
    if not python.is_file():
        pytest.skip("openvino is not installed: make bench-peers")
    network = MobileNetV1(find_mobilenet_spec("mobilenet_v1_0.25"), 5)
    onnx.save(build_mobilenet_graph(network, 32, "small"), tmp_path / "m.onnx")
    options = {"model": str(tmp_path / "m.onnx"), "threads": 1, "batch": 2}
    with PeerProcess(str(python), "openvino_peer", options) as peer:
        assert peer.facts["version"].startswith("openvino ")
        assert len(peer.time("predict", 2)["whole"]) == 2
