"""The writer of .tflite files: LiteRT computes what ONNX Runtime computes from the same weights."""

from pathlib import Path

import numpy as np
import pytest

from runtime.bench.mobile_graphs import build_mobile_graph
from runtime.bench.peer_process import PeerProcess
from runtime.errors import RuntimeFault
from runtime.onnx_sessions import open_session

SIZE = 32


@pytest.fixture
def python(repository: Path) -> str:
    path = repository / ".venv-litert" / "bin" / "python"
    if not path.is_file():
        pytest.skip("LiteRT is not installed: make bench-peers")
    return str(path)


def convert(python: str, name: str, folder: Path, batch: int = 1) -> str:
    """The path of the .tflite file."""
    model, out = folder / "m.onnx", folder / "m.tflite"
    model.write_bytes(build_mobile_graph(name, SIZE).SerializeToString())
    options = {"model": str(model), "out": str(out), "batch": batch}
    PeerProcess(python, "litert_convert_peer", options).close()
    return str(out)


def answer(python: str, model: str, batch: int = 1) -> np.ndarray:
    options = {"model": model, "threads": 1, "batch": batch}
    with PeerProcess(python, "litert_peer", options) as peer:
        assert len(peer.time("predict", 2)["whole"]) == 2
        return np.array(peer.facts["answer"])


@pytest.mark.parametrize(
    ("name", "batch"), [("mobilenet_v3_large", 1), ("mobilenet_v4_conv_small_0.5", 2)]
)
def test_logits_are_those_of_the_graph(python: str, tmp_path: Path, name: str, batch: int) -> None:
    found = answer(python, convert(python, name, tmp_path, batch), batch)
    images = np.random.default_rng(0).standard_normal((batch, 3, SIZE, SIZE)).astype(np.float32)
    (expected,) = open_session(str(tmp_path / "m.onnx")).run(None, {"images": images})
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_operator_that_it_does_not_know_is_named(python: str, tmp_path: Path) -> None:
    graph = build_mobile_graph("mobilenet_v3_small", SIZE)
    (graph.graph.node[1].op_type,) = ["Softsign"]
    (tmp_path / "m.onnx").write_bytes(graph.SerializeToString())
    options = {"model": str(tmp_path / "m.onnx"), "out": str(tmp_path / "x"), "batch": 1}
    with pytest.raises(RuntimeFault, match=r"expected operators of a MobileNet .* found Softsign"):
        PeerProcess(python, "litert_convert_peer", options)
