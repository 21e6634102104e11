"""What the tests of LiteRT share: a small file for it, and what it answers."""

from pathlib import Path

import numpy as np

from runtime.bench.mobile_graphs import build_mobile_graph
from runtime.bench.peer_process import PeerProcess

SIZE = 32


def convert(python: str, name: str, folder: Path, batch: int = 1) -> str:
    """The path of the .tflite file."""
    model, out = folder / "m.onnx", folder / "m.tflite"
    model.write_bytes(build_mobile_graph(name, SIZE).SerializeToString())
    options = {"model": str(model), "out": str(out), "batch": batch}
    PeerProcess(python, "litert_convert_peer", options).close()
    return str(out)


def answer(python: str, model: str, batch: int = 1) -> np.ndarray:
    """The logits of a .tflite file."""
    options = {"model": model, "threads": 1, "batch": batch}
    with PeerProcess(python, "litert_peer", options) as peer:
        assert len(peer.time("predict", 2)["whole"]) == 2
        return np.array(peer.facts["answer"])
