"""A quantised .tflite network as an ONNX graph: in float32, or in 8 bits with its own scales.

The 8-bit graph is the float graph with QuantizeLinear and DequantizeLinear around every tensor
(QDQ), which ONNX Runtime fuses into integer kernels. Nothing is rounded anew: activations keep
uint8, scale and zero point; weights become int8 with the zero point shifted by the same 128,
because ONNX Runtime has faster kernels for int8 weights than for uint8. (On x86-64 CPUs without
VNNI those saturate; runtime.engines.onnx_sessions sees to that.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from models.export.onnx_graph import GraphBuilder
from models.tflite.network import Convolution, Layer, Quantization

SHIFT = 128  # uint8 to int8
SIX = 6  # the upper end of ReLU6


def build_tflite_graph(layers: Sequence[Layer], name: str, quantized: bool) -> onnx.ModelProto:
    """images [N, 3, S, S] -> logits [N, classes]; images are (pixel - zero point) * scale of the
    first layer's input.
    """
    graph = GraphBuilder(None)
    clip = graph.constant(0, np.float32), graph.constant(SIX, np.float32)
    x = _through_uint8(graph, "images", layers[0].input.quantization, quantized)
    for layer in layers:
        if isinstance(layer, Convolution):
            x = graph.node("Conv", x, *_parameters(graph, layer, quantized), **_window(layer))
            if layer.relu6:
                x = graph.node("Clip", x, *clip)
        else:
            x = graph.node("GlobalAveragePool", x)
        x = _through_uint8(graph, x, layer.output.quantization, quantized)
    height, width, channels = layers[0].input.shape
    logits = graph.node("Flatten", x)
    return graph.model(name, logits, (channels, height, width), [layers[-1].output.shape[2]])


def _through_uint8(graph: GraphBuilder, x: str, quantization: Quantization, quantized: bool) -> str:
    if not quantized:
        return x
    scale = graph.constant(quantization.scale, np.float32)
    zero_point = graph.constant(quantization.zero_point, np.uint8)
    x = graph.node("QuantizeLinear", x, scale, zero_point)
    return graph.node("DequantizeLinear", x, scale, zero_point)


def _parameters(graph: GraphBuilder, layer: Convolution, quantized: bool) -> tuple[str, str]:
    """(weight, bias): names of the float tensors, computed from integers if `quantized`."""
    scale, zero_point = layer.weight_quantization.scale, layer.weight_quantization.zero_point
    if not quantized:
        weight = dequantize(layer.weight, layer.weight_quantization)
        bias = dequantize(layer.bias, Quantization(layer.bias_scale, 0))
        return graph.constant(weight, np.float32), graph.constant(bias, np.float32)
    return (
        graph.node(
            "DequantizeLinear",
            graph.constant(layer.weight.astype(np.int16) - SHIFT, np.int8),
            graph.constant(scale, np.float32),
            graph.constant(zero_point - SHIFT, np.int8),
        ),
        graph.node(
            "DequantizeLinear",
            graph.constant(layer.bias, np.int32),
            graph.constant(layer.bias_scale, np.float32),
        ),
    )


def dequantize(values: NDArray[Any], quantization: Quantization) -> NDArray[np.float32]:
    """(values - zero_point) * scale, rounded once."""
    exact = (values.astype(np.float64) - quantization.zero_point) * quantization.scale
    return exact.astype(np.float32)


def _window(layer: Convolution) -> dict[str, Any]:
    return {
        "kernel_shape": layer.weight.shape[2:],
        "strides": layer.strides,
        "pads": layer.padding,  # ONNX's order too: begins, then ends
        "group": layer.groups,
    }
