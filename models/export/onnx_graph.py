"""The fallback graph: a plan in standard ONNX operators, its weights read from packed.safetensors.

Initializers are external data inside the weight file, so every weight exists once in a bundle.
Binary weights stay at one bit: eight to a byte, unpacked by BitShift and BitwiseAnd when the
session starts. Exact: +-1 activations, +-1 weights and their sums are integers far below 2^24.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from runtime.bundle import WEIGHTS
from runtime.kernels.bitpack import GROWTH
from runtime.kernels.parts import Window
from runtime.plan import FloatLayer, HeadStep, Plan, StageStep, StemStep, Step, TransitionStep
from runtime.tensor_file import read_header

OPSET = 18  # BitwiseAnd appeared here
IR_VERSION = 9
BITS = 8  # binary weights are seen as bytes


class GraphBuilder:
    """Collects nodes and initializers.

    `tensors` maps names of the weight file to (dtype, shape, offset, bytes).
    """

    def __init__(self, weights: Path | None, integer: bool = False) -> None:
        self.integer = integer  # binary convolutions as ConvInteger instead of float Conv
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.header, self.start = read_header(weights) if weights else ({}, 0)
        self.names = 0

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Appends an operator with one output; returns the output's name."""
        self.names += 1
        output = f"{operator.lower()}_{self.names}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], output, **attributes))
        return output

    def constant(self, values: Any, dtype: Any) -> str:
        """A small initializer inside the graph."""
        self.names += 1
        array = np.asarray(values, dtype)
        name = f"constant_{self.names}"
        self.initializers.append(onnx.numpy_helper.from_array(array, name))
        return name

    def external(self, name: str, shape: Sequence[int], dtype: int = TensorProto.FLOAT) -> str:
        """An initializer whose bytes are a tensor of the weight file, seen with another shape or
        type.
        """
        begin, end = self.header[name]["data_offsets"]
        tensor = onnx.TensorProto(name=name, data_type=dtype, dims=list(shape))
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (
            ("location", WEIGHTS),
            ("offset", str(self.start + begin)),
            ("length", str(end - begin)),
        ):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
        self.initializers.append(tensor)
        return name

    def floats(self, name: str, shape: Sequence[int] | None = None) -> str:
        """A float32 tensor of the weight file."""
        return self.external(name, shape or self.header[name]["shape"])

    def unpacked_bits(self, name: str) -> str:
        """Words [..., C / 32] of the weight file -> uint8 0 or 1, [..., C]."""
        *outer, words = self.header[name]["shape"]
        packed = self.external(name, [*outer, words * 4, 1], TensorProto.UINT8)
        shifted = self.node(
            "BitShift", packed, self.constant(range(BITS), np.uint8), direction="RIGHT"
        )
        bits = self.node("BitwiseAnd", shifted, self.constant(1, np.uint8))
        return self.node("Reshape", bits, self.constant([*outer, words * 32], np.int64))

    def signs(self, bits: str) -> str:
        """uint8 0 or 1 -> float32 -1 or +1."""
        doubled = self.node(
            "Mul", self.node("Cast", bits, to=TensorProto.FLOAT), self.constant(2, np.float32)
        )
        return self.node("Sub", doubled, self.constant(1, np.float32))

    def model(
        self, name: str, result: str, shape_in: Sequence[int], shape_out: Sequence[int]
    ) -> onnx.ModelProto:
        """The finished model: images [N, 3, H, W] -> logits [N, classes]."""
        self.nodes.append(helper.make_node("Identity", [result], ["logits"], "logits"))
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", *shape_in])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", *shape_out])],
            self.initializers,
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )


def build_graph(plan: Plan, weights: Path, name: str, integer: bool = False) -> onnx.ModelProto:
    """A plan, or neighbouring steps of one, as a graph from `images` to `logits`. Raises KeyError
    where the weight file lacks a tensor.

    `integer` runs the binary convolutions as 8-bit ConvInteger; the default, float Conv, is faster
    in ONNX Runtime on x86-64 (compare bundles exported with and without --onnx-integer).
    """
    graph = GraphBuilder(weights, integer)
    x = "images"
    for step in plan:
        x = _add_step(graph, step, x)
    return graph.model(name, x, plan.input, plan.output)


def _add_step(graph: GraphBuilder, step: Step, x: str) -> str:
    match step:
        case StemStep():
            return _stem(graph, step, x)
        case StageStep():
            return _stage(graph, step, x)
        case TransitionStep():
            return _transition(graph, step, x)
        case HeadStep():
            return _head(graph, step, x)


def _window(window: Window) -> dict[str, list[int]]:
    before, after = window.padding_before, window.padding_after
    return {
        "kernel_shape": [window.kernel] * 2,
        "strides": [window.stride] * 2,
        "pads": [before, before, after, after],
    }


def _layer(graph: GraphBuilder, layer: FloatLayer, name: str, x: str) -> tuple[str, str]:
    """The input and the weight of a float layer; in 8-bit arithmetic levels, and weights that turn
    their sums into values.
    """
    if not layer.is_int8:
        return x, graph.floats(f"{name}.weight")
    scaled = graph.node("Mul", x, graph.floats(f"{name}.inverse_step"))
    bounds = graph.constant(0, np.float32), graph.constant(255, np.float32)
    levels = graph.node("Round", graph.node("Clip", scaled, *bounds))  # half to even
    shape = graph.header[f"{name}.weight"]["shape"]
    weight = graph.external(f"{name}.weight", shape, TensorProto.INT8)
    weight = graph.node("Cast", weight, to=TensorProto.FLOAT)
    scale = graph.floats(f"{name}.sum_scale", [shape[0]] + [1] * (len(shape) - 1))
    return levels, graph.node("Mul", weight, scale)


def _stem(graph: GraphBuilder, step: StemStep, x: str) -> str:
    for i, conv in enumerate(step.convolutions):
        x, weight = _layer(graph, conv, f"{step.name}.conv{i}", x)
        bias = graph.floats(f"{step.name}.conv{i}.bias")
        x = graph.node("Conv", x, weight, bias, group=conv.groups, **_window(conv.window))
        if conv.relu:
            x = graph.node("Relu", x)
    return _pool(graph, step.pool, x)


def _pool(graph: GraphBuilder, window: Window | None, x: str) -> str:
    return x if window is None else graph.node("MaxPool", x, **_window(window))


def _stage(graph: GraphBuilder, step: StageStep, x: str) -> str:
    for i, (kind, channels) in enumerate(zip(step.layers, step.channels, strict=True)):
        y = _binary_layer(graph, f"{step.name}.layer{i}", channels, step.padding, x)
        if kind == "dense":
            x = graph.node("Concat", x, y, axis=1)
        else:
            axis = graph.constant([1], np.int64)
            cut = graph.constant([channels - GROWTH], np.int64)
            end = graph.constant([channels], np.int64)
            kept = graph.node("Slice", x, graph.constant([0], np.int64), cut, axis)
            fresh = graph.node("Slice", x, cut, end, axis)
            x = graph.node("Concat", kept, graph.node("Add", fresh, y), axis=1)
    return x


def _binary_layer(graph: GraphBuilder, name: str, channels: int, padding: int, x: str) -> str:
    """bit = (x >= threshold) != flip, then the convolution of +-1 with +-1."""
    reached = graph.node(
        "GreaterOrEqual", x, graph.floats(f"{name}.threshold", [1, channels, 1, 1])
    )
    flip = graph.node("Cast", graph.unpacked_bits(f"{name}.flip"), to=TensorProto.BOOL)
    flip = graph.node("Reshape", flip, graph.constant([1, channels, 1, 1], np.int64))
    # ConvInteger wants unsigned activations: 0, 1, 2 with zero point 1 stand for -1, 0, +1.
    dtype, zero = (np.uint8, 1) if graph.integer else (np.float32, 0)
    plus, minus = graph.constant(zero + 1, dtype), graph.constant(zero - 1, dtype)
    signs = graph.node("Where", graph.node("Xor", reached, flip), plus, minus)
    border = graph.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    signs = graph.node("Pad", signs, border, graph.constant(zero + padding, dtype))
    weight = graph.signs(graph.unpacked_bits(f"{name}.weight"))  # [64, 3, 3, C]
    weight = graph.node("Transpose", weight, perm=[0, 3, 1, 2])
    if not graph.integer:
        return graph.node("Conv", signs, weight, kernel_shape=[3, 3])
    weight = graph.node("Cast", weight, to=TensorProto.INT8)
    zeros = graph.constant(1, np.uint8), graph.constant(0, np.int8)
    sums = graph.node("ConvInteger", signs, weight, *zeros, kernel_shape=[3, 3])
    return graph.node("Cast", sums, to=TensorProto.FLOAT)


def _affine(graph: GraphBuilder, name: str, channels: int, x: str) -> str:
    scale, shift = (graph.floats(f"{name}.{part}", [channels, 1, 1]) for part in ("scale", "shift"))
    return graph.node("Add", graph.node("Mul", x, scale), shift)


def _transition(graph: GraphBuilder, step: TransitionStep, x: str) -> str:
    channels = step.input[0]
    _, height, width = step.output
    x = _affine(graph, step.name, channels, x)
    x = graph.node("Relu", _pool(graph, step.pool, x))
    if (groups := step.shuffle_groups) > 1:
        split = graph.constant([0, groups, channels // groups, height, width], np.int64)
        x = graph.node("Transpose", graph.node("Reshape", x, split), perm=[0, 2, 1, 3, 4])
        x = graph.node("Reshape", x, graph.constant([0, channels, height, width], np.int64))
    x, weight = _layer(graph, step, step.name, x)
    return graph.node("Conv", x, weight, group=step.groups, kernel_shape=[1, 1])


def _head(graph: GraphBuilder, step: HeadStep, x: str) -> str:
    x = graph.node("Relu", _affine(graph, step.name, step.input[0], x))
    x = graph.node("Flatten", graph.node("GlobalAveragePool", x))
    x, weight = _layer(graph, step, step.name, x)
    return graph.node("Gemm", x, weight, graph.floats(f"{step.name}.bias"), transB=1)
