"""The quantizer for LiteRT: a smaller file that computes nearly the same."""

from pathlib import Path

import numpy as np
import pytest

from runtime.bench.mobile_graphs import build_mobile_graph
from runtime.bench.peer_process import PeerProcess

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


def test_file_shrinks_and_logits_stay_near(python: str, tmp_path: Path) -> None:
    model, out = convert(python, "mobilenet_v4_conv_small_0.5", tmp_path), tmp_path / "q.tflite"
    PeerProcess(python, "litert_quantize_peer", {"model": model, "out": str(out)}).close()
    assert out.stat().st_size < Path(model).stat().st_size / 3
    exact, near = answer(python, model), answer(python, str(out))
    assert 0 < np.sqrt(np.mean((near - exact) ** 2)) < 0.5 * exact.std()
