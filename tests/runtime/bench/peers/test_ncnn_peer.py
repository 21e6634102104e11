"""The ncnn peer, in its own environment, on a small graph."""

from pathlib import Path

import numpy as np
import pytest

from runtime.bench.mobile_graphs import CLASSES, build_mobile_graph
from runtime.bench.peer_process import PeerProcess
from runtime.errors import RuntimeFault


@pytest.mark.parametrize("batch", [1])
def test_graph_is_converted_and_runs(tmp_path: Path, repository: Path, batch: int) -> None:
    python = repository / ".venv-ncnn" / "bin" / "python"
    if not python.is_file():
        pytest.skip("ncnn is not installed: make bench-peers")
    model = tmp_path / "m.onnx"
    model.write_bytes(build_mobile_graph("mobilenet_v3_small", 32).SerializeToString())
    options = {"model": str(model), "threads": 1, "batch": batch, "size": 32}
    with PeerProcess(str(python), "ncnn_peer", options) as peer:
        assert np.array(peer.facts["answer"]).shape == (batch, CLASSES)
        assert len(peer.time("predict", 2)["whole"]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx"]


def test_more_than_one_image_is_refused(repository: Path) -> None:
    python = repository / ".venv-ncnn" / "bin" / "python"
    if not python.is_file():
        pytest.skip("ncnn is not installed: make bench-peers")
    options = {"model": "none", "threads": 1, "batch": 2, "size": 32}
    with pytest.raises(RuntimeFault, match="one image at a time"):
        PeerProcess(str(python), "ncnn_peer", options)
