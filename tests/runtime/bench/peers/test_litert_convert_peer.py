"""The writer of .tflite files: LiteRT computes what ONNX Runtime computes from the same weights."""

from pathlib import Path

import numpy as np
import pytest

from runtime.bench.mobile_graphs import build_mobile_graph
from runtime.bench.peer_process import PeerProcess
from runtime.engines.onnx_sessions import open_session
from runtime.errors import RuntimeFault
from tests.runtime.bench.peers.litert import SIZE, answer, convert


@pytest.mark.parametrize(
    ("name", "batch"), [("mobilenet_v3_large", 1), ("mobilenet_v4_conv_small_0.5", 2)]
)
def test_logits_are_those_of_the_graph(litert: str, tmp_path: Path, name: str, batch: int) -> None:
    found = answer(litert, convert(litert, name, tmp_path, batch), batch)
    images = np.random.default_rng(0).standard_normal((batch, 3, SIZE, SIZE)).astype(np.float32)
    (expected,) = open_session(str(tmp_path / "m.onnx")).run(None, {"images": images})
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_operator_that_it_does_not_know_is_named(litert: str, tmp_path: Path) -> None:
    graph = build_mobile_graph("mobilenet_v3_small", SIZE)
    (graph.graph.node[1].op_type,) = ["Softsign"]
    (tmp_path / "m.onnx").write_bytes(graph.SerializeToString())
    options = {"model": str(tmp_path / "m.onnx"), "out": str(tmp_path / "x"), "batch": 1}
    with pytest.raises(RuntimeFault, match=r"expected operators of a MobileNet .* found Softsign"):
        PeerProcess(litert, "litert_convert_peer", options)
