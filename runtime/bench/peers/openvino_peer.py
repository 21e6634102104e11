"""Peer: OpenVINO's CPU plugin on an ONNX graph of float32 images, shapes fixed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def open_peer(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Callable[[], None]]]:
    """options: model (path), threads, batch. Facts: "answer", logits of the seeded images;
    "instructions", of its kernels, which ONEDNN_MAX_CPU_ISA limits. Calls: predict.
    """
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
    compiled = core.compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
    images = ov.Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))

    def predict() -> None:
        request.infer([images])

    predict()
    answer = np.array(request.get_output_tensor().data).tolist()
    nodes = compiled.get_runtime_model().get_ops()
    kinds = {node.get_rt_info()["primitiveType"].astype(str) for node in nodes}
    found = {isa for isa in ("avx2", "avx512") if any(f"conv_{isa}" in kind for kind in kinds)}
    return {
        "version": f"openvino {ov.__version__.split('-')[0]}",
        "answer": answer,
        "instructions": sorted(found),
    }, {"predict": predict}
