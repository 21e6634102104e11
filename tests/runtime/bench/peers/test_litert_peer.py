"""The LiteRT peer, in its own environment, on a small file."""

from pathlib import Path

import numpy as np
import pytest

from runtime.bench.mobile_graphs import build_mobile_graph
from runtime.bench.peer_process import PeerProcess
from runtime.errors import RuntimeFault

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


def test_file_runs_at_its_batch(python: str, tmp_path: Path) -> None:
    model = convert(python, "mobilenet_v3_small", tmp_path, 2)
    with PeerProcess(python, "litert_peer", {"model": model, "threads": 1, "batch": 2}) as peer:
        assert peer.facts["version"].startswith("ai-edge-litert ")
        assert np.array(peer.facts["answer"]).shape == (2, 1000)
        assert len(peer.time("predict", 2)["whole"]) == 2


def test_file_for_another_batch_is_refused(python: str, tmp_path: Path) -> None:
    model = convert(python, "mobilenet_v3_small", tmp_path, 2)
    with pytest.raises(RuntimeFault, match="expected a file for batch 1, found one for 2"):
        PeerProcess(python, "litert_peer", {"model": model, "threads": 1, "batch": 1})
