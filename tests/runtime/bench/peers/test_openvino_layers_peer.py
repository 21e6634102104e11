"""OpenVINO's BinaryConvolution on single layers, in its own environment."""

from pathlib import Path

import pytest

from runtime.bench.peer_process import PeerProcess


def test_layers_run_as_binary_convolutions(repository: Path) -> None:
    python = repository / ".venv-openvino" / "bin" / "python"
    if not python.is_file():
        pytest.skip("openvino is not installed: make bench-peers")
    layers = {"small": [64, 14, 14], "odd": [160, 7, 7]}
    options = {"threads": 1, "layers": layers}
    with PeerProcess(str(python), "openvino_layers_peer", options) as peer:
        assert set(peer.facts["kernels"]) == set(peer.facts["reorders"]) == set(layers)
        for name in layers:
            seconds = peer.time(name, 2)
            assert len(seconds["whole"]) == len(seconds["convolution"]) == 2
