"""Peer: ONNX Runtime on a graph of float32 images [N, 3, S, S], named images."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any


def open_peer(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Callable[[], None]]]:
    """options: model (path), threads, batch, saturates (whether this CPU's 8-bit products are wrong
    unless ONNX Runtime is asked for exact ones). Facts: "answer", logits of the seeded images.
    Calls: predict.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # see runtime/engines/onnx_sessions.py
    import numpy as np
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options["threads"]
    settings.inter_op_num_threads = 1
    settings.add_free_dimension_override_by_name("N", options["batch"])
    # Waiting threads must not take the CPU from whoever has its turn.
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    if options["saturates"]:
        settings.add_session_config_entry("session.x64quantprecision", "1")
    settings.log_severity_level = 3
    session = ort.InferenceSession(options["model"], settings, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    shape = (options["batch"], *image.shape[1:])
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)

    def predict() -> None:
        session.run(None, {image.name: images})

    (logits,) = session.run(None, {image.name: images})
    return {
        "version": f"onnxruntime {ort.__version__}",
        "answer": logits.tolist(),
    }, {"predict": predict}
