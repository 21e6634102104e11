"""The quantizer for LiteRT: a smaller file that computes nearly the same."""

from pathlib import Path

import numpy as np

from runtime.bench.peer_process import PeerProcess
from tests.runtime.bench.peers.litert import answer, convert


def test_file_shrinks_and_logits_stay_near(litert: str, tmp_path: Path) -> None:
    model, out = (
        convert(litert, "mobilenet_v4_conv_small_0.5", tmp_path),
        tmp_path / "q.tflite",
    )
    PeerProcess(litert, "litert_quantize_peer", {"model": model, "out": str(out)}).close()
    assert out.stat().st_size < Path(model).stat().st_size / 3
    exact, near = answer(litert, model), answer(litert, str(out))
    assert 0 < np.sqrt(np.mean((near - exact) ** 2)) < 0.5 * exact.std()
