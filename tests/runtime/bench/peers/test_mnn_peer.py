"""The MNN peer, in its own environment, on a small graph."""

from pathlib import Path

import numpy as np
import pytest

from runtime.bench.mobile_graphs import CLASSES, build_mobile_graph
from runtime.bench.peer_process import PeerProcess


@pytest.mark.parametrize("batch", [1, 2])
def test_graph_is_converted_and_runs(tmp_path: Path, repository: Path, batch: int) -> None:
    python = repository / ".venv-mnn" / "bin" / "python"
    if not python.is_file():
        pytest.skip("mnn is not installed: make bench-peers")
    model = tmp_path / "m.onnx"
    model.write_bytes(build_mobile_graph("mobilenet_v3_small", 32).SerializeToString())
    options = {"model": str(model), "threads": 1, "batch": batch, "size": 32}
    with PeerProcess(str(python), "mnn_peer", options) as peer:
        assert np.array(peer.facts["answer"]).shape == (batch, CLASSES)
        assert len(peer.time("predict", 2)["whole"]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx"]


def test_program_that_reports_is_not_used(repository: Path) -> None:
    """MNN's program mnnconvert installs a package and reports; the module under it does not."""
    source = (repository / "runtime" / "bench" / "peers" / "mnn_peer.py").read_text()
    assert "MNN.tools" not in source
    assert "subprocess" not in source
