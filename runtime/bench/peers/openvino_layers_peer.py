"""Peer: OpenVINO's BinaryConvolution on single layers: compare with 0, convolve, 64 outputs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

OUTPUTS = 64


def open_peer(
    options: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, Callable[[], dict[str, float]]]]:
    """options: threads, layers ([channels, height, width] by name). One call a layer.

    A call's parts: "whole", an inference from float32 features to float32 dot products, and
    "convolution", the node alone by the plugin's own profile, in whole microseconds. "reorders" of
    the facts: how many Reorder nodes run beside it.
    """
    import numpy as np
    import openvino as ov
    from openvino import opset1 as ops

    random = np.random.default_rng(0)
    core = ov.Core()

    def build(channels: int, height: int, width: int) -> Any:
        x = ops.parameter([1, channels, height, width], np.float32)
        zeros = ops.constant(np.zeros((1, channels, 1, 1), np.float32))
        minus, plus = (ops.constant(np.full((1, 1, 1, 1), v, np.float32)) for v in (-1, 1))
        signs = ops.fake_quantize(x, zeros, zeros, minus, plus, 2)
        weight = ov.Tensor(ov.Type.u1, ov.Shape([OUTPUTS, channels, 3, 3]))
        weight.data[:] = random.integers(0, 256, weight.data.shape, dtype=np.uint8)
        y = ops.binary_convolution(
            signs, ov.op.Constant(weight), [1, 1], [1, 1], [1, 1], [1, 1], "xnor-popcount", -1.0
        )
        return ov.Model([y], [x], "layer")

    def compile_layer(model: Any, profile: bool) -> Any:
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": options["threads"]}
        return core.compile_model(model, "CPU", settings | {"PERF_COUNT": profile})

    facts: dict[str, Any] = {"reorders": {}, "kernels": {}}
    calls: dict[str, Callable[[], dict[str, float]]] = {}
    for name, shape in options["layers"].items():
        model = build(*shape)
        plain = compile_layer(model, False).create_infer_request()
        profiled = compile_layer(model, True).create_infer_request()
        x = ov.Tensor(random.standard_normal((1, *shape)).astype(np.float32))
        profiled.infer([x])
        nodes = [node for node in profiled.get_profiling_info() if node.real_time]
        binary = [node for node in nodes if node.node_type == "BinaryConvolution"]
        if len(binary) != 1:
            raise RuntimeError(
                f"{name}: expected one BinaryConvolution in the compiled graph, found "
                f"{sorted(node.node_type for node in nodes)}"
            )
        facts["kernels"][name] = binary[0].exec_type
        facts["reorders"][name] = sum(node.node_type == "Reorder" for node in nodes)

        def run(plain: Any = plain, profiled: Any = profiled, x: Any = x) -> dict[str, float]:
            start = time.perf_counter()
            plain.infer([x])
            whole = time.perf_counter() - start
            profiled.infer([x])
            alone = sum(
                node.real_time.total_seconds()
                for node in profiled.get_profiling_info()
                if node.node_type == "BinaryConvolution"
            )
            return {"whole": whole, "convolution": alone}

        calls[name] = run
    return {"version": f"openvino {ov.__version__.split('-')[0]}", **facts}, calls
