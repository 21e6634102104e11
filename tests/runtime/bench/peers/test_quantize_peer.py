"""The quantizer: an int8 graph that ONNX Runtime runs."""

from pathlib import Path

import onnx

from models.export.mobilenet_graph import build_mobilenet_graph
from models.networks.mobilenet import MobileNetV1, find_mobilenet_spec
from runtime.bench.peers.onnxruntime_peer import open_peer as open_onnxruntime
from runtime.bench.peers.quantize_peer import open_peer
from runtime.engines.onnx_sessions import saturates


def test_weights_become_int8(tmp_path: Path) -> None:
    model, out = str(tmp_path / "m.onnx"), str(tmp_path / "q.onnx")
    network = MobileNetV1(find_mobilenet_spec("mobilenet_v1_0.25"), 5)
    onnx.save(build_mobilenet_graph(network, 32, "small"), model)
    facts, calls = open_peer({"model": model, "out": out, "size": 32})
    assert facts["version"].startswith("onnxruntime ")
    assert calls == {}
    graph = onnx.load(out).graph
    types = {tensor.data_type for tensor in graph.initializer}
    assert onnx.TensorProto.INT8 in types
    assert "QuantizeLinear" in {node.op_type for node in graph.node}
    _, calls = open_onnxruntime({"model": out, "threads": 1, "batch": 1, "saturates": saturates()})
    calls["predict"]()
