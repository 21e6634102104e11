"""The LiteRT peer, in its own environment, on a small file."""

from pathlib import Path

import numpy as np
import pytest

from runtime.bench.peer_process import PeerProcess
from runtime.errors import RuntimeFault
from tests.runtime.bench.peers.litert import convert


def test_file_runs_at_its_batch(litert: str, tmp_path: Path) -> None:
    model = convert(litert, "mobilenet_v3_small", tmp_path, 2)
    with PeerProcess(litert, "litert_peer", {"model": model, "threads": 1, "batch": 2}) as peer:
        assert peer.facts["version"].startswith("ai-edge-litert ")
        assert np.array(peer.facts["answer"]).shape == (2, 1000)
        assert len(peer.time("predict", 2)["whole"]) == 2


def test_file_for_another_batch_is_refused(litert: str, tmp_path: Path) -> None:
    model = convert(litert, "mobilenet_v3_small", tmp_path, 2)
    with pytest.raises(RuntimeFault, match="expected a file for batch 1, found one for 2"):
        PeerProcess(litert, "litert_peer", {"model": model, "threads": 1, "batch": 1})
