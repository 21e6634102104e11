"""Peer: OpenVINO's CPU plugin on an ONNX graph of float32 pictures, shapes fixed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def open_peer(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Callable[[], None]]]:
    """options: model (path), threads, batch. Calls: predict."""
    import numpy as np
    import openvino as ov

    core = ov.Core()
    model = core.read_model(options["model"])
    shape = [
        options["batch"],
        *(int(side.get_length()) for side in model.input().partial_shape[1:]),
    ]
    model.reshape(shape)
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": options["threads"],
        "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the CPU has it
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    images = ov.Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))

    def predict() -> None:
        request.infer([images])

    return {"version": f"openvino {ov.__version__.split('-')[0]}"}, {"predict": predict}
