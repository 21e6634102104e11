"""The ONNX Runtime peer on a small graph."""

from pathlib import Path

import onnx
import pytest

from models.export.mobilenet_graph import build_mobilenet_graph
from models.networks.mobilenet import MobileNetV1, find_mobilenet_spec
from runtime.bench.peers.onnxruntime_peer import open_peer


@pytest.mark.parametrize("batch", [1, 3])
def test_graph_runs_at_a_fixed_batch(tmp_path: Path, batch: int) -> None:
    network = MobileNetV1(find_mobilenet_spec("mobilenet_v1_0.25"), 5)
    onnx.save(build_mobilenet_graph(network, 32, "small"), tmp_path / "m.onnx")
    options = {"model": str(tmp_path / "m.onnx"), "threads": 1, "batch": batch, "saturates": False}
    facts, calls = open_peer(options)
    assert facts["version"].startswith("onnxruntime ")
    assert list(calls) == ["predict"]
    calls["predict"]()
