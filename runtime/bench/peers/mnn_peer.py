"""Peer: MNN on an ONNX graph of float32 images [N, 3, S, S], converted by its own converter.

Not by the program `mnnconvert`: that one installs a package for logging with the first pip it
finds, and reports each conversion to its vendor. The compiled module under it does neither.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def open_peer(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Callable[[], None]]]:
    """options: model (path), threads, batch, size (pixels). Facts: "answer", logits of the seeded
    images. Calls: predict.
    """
    from importlib.metadata import version

    import _tools
    import MNN
    import numpy as np

    shape = (options["batch"], 3, options["size"], options["size"])
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder, "model.mnn")
        arguments = ["mnnconvert", "-f", "ONNX", "--modelFile", options["model"]]
        _tools.mnnconvert([*arguments, "--MNNModel", str(converted), "--bizCode", "bench"])
        if not converted.is_file():
            raise RuntimeError(f"MNN's converter wrote nothing for {options['model']}")
        settings = {"numThread": options["threads"], "precision": "high", "backend": "CPU"}
        runtime = MNN.nn.create_runtime_manager((settings,))
        network = MNN.nn.load_module_from_file(
            str(converted), ["images"], ["logits"], runtime_manager=runtime
        )
    given = MNN.expr.const(images, list(shape), MNN.expr.NCHW)

    def infer() -> Any:
        (logits,) = network.forward([given])
        return logits.read()

    def predict() -> None:
        infer()

    answer = np.array(infer()).reshape(options["batch"], -1).tolist()
    return {"version": f"MNN {version('MNN')}", "answer": answer}, {"predict": predict}
