"""MobileNetV3 and MobileNetV4-conv-small as ONNX graphs with random weights, for the peers.

Layers as in the papers (arXiv 1905.02244, tables 1 and 2; arXiv 2404.10518) and in timm, batch
norms folded, paddings symmetric, 1000 classes. Weights are random: good for time and size, never
for answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

CLASSES = 1000
OPSET, IR_VERSION = 18, 9
RELU, HARD_SWISH = "Relu", "HardSwish"
GAINS = {RELU: 2.0, HARD_SWISH: 2.2}  # of the weights' variance: signals neither fade nor grow
DIVISOR = 8  # of channel counts


@dataclass(frozen=True)
class Convolution:
    """A convolution with its activation: kernel x kernel, channels out."""

    kernel: int
    channels: int
    stride: int = 1


@dataclass(frozen=True)
class Bottleneck:
    """1x1 to `expanded` channels, depthwise, 1x1 to `channels`; with a sum around it where it fits.

    kernel: of the depthwise convolution, 0 for none. first: of one before all, without activation.
    squeeze: channels are weighted by their means before the last convolution.
    """

    kernel: int
    expanded: int
    channels: int
    stride: int = 1
    first: int = 0
    squeeze: bool = False
    activation: str = RELU


@dataclass(frozen=True)
class MobileSpec:
    """Stem of 3x3 and stride 2, blocks, 1x1 to `last` channels, mean, a layer of `features`."""

    stem: int
    blocks: Sequence[Convolution | Bottleneck]
    last: int
    features: int
    activation: str
    width: float = 1.0


SWISH = partial(Bottleneck, activation=HARD_SWISH)
SQUEEZED_SWISH = partial(SWISH, squeeze=True)
V3_SMALL = (
    Bottleneck(3, 16, 16, 2, squeeze=True),
    Bottleneck(3, 72, 24, 2),
    Bottleneck(3, 88, 24),
    SQUEEZED_SWISH(5, 96, 40, 2),
    *(SQUEEZED_SWISH(5, 240, 40),) * 2,
    SQUEEZED_SWISH(5, 120, 48),
    SQUEEZED_SWISH(5, 144, 48),
    SQUEEZED_SWISH(5, 288, 96, 2),
    *(SQUEEZED_SWISH(5, 576, 96),) * 2,
)
V3_LARGE = (
    Bottleneck(3, 16, 16),
    Bottleneck(3, 64, 24, 2),
    Bottleneck(3, 72, 24),
    Bottleneck(5, 72, 40, 2, squeeze=True),
    *(Bottleneck(5, 120, 40, squeeze=True),) * 2,
    SWISH(3, 240, 80, 2),
    SWISH(3, 200, 80),
    *(SWISH(3, 184, 80),) * 2,
    SQUEEZED_SWISH(3, 480, 112),
    SQUEEZED_SWISH(3, 672, 112),
    SQUEEZED_SWISH(5, 672, 160, 2),
    *(SQUEEZED_SWISH(5, 960, 160),) * 2,
)
V4_CONV_SMALL = (
    Convolution(3, 32, 2),
    Convolution(1, 32),
    Convolution(3, 96, 2),
    Convolution(1, 64),
    Bottleneck(5, 192, 96, 2, first=5),
    *(Bottleneck(3, 192, 96),) * 4,
    Bottleneck(0, 384, 96, first=3),
    Bottleneck(3, 576, 128, 2, first=3),
    Bottleneck(5, 512, 128, first=5),
    Bottleneck(5, 512, 128),
    Bottleneck(5, 384, 128),
    *(Bottleneck(3, 512, 128),) * 2,
)
SPECS = {
    "mobilenet_v3_small": MobileSpec(16, V3_SMALL, 576, 1024, HARD_SWISH),
    "mobilenet_v3_large": MobileSpec(16, V3_LARGE, 960, 1280, HARD_SWISH),
    "mobilenet_v4_conv_small_0.5": MobileSpec(32, V4_CONV_SMALL, 960, 1280, RELU, width=0.5),
    "mobilenet_v4_conv_small": MobileSpec(32, V4_CONV_SMALL, 960, 1280, RELU),
}


def round_channels(channels: float) -> int:
    """To a multiple of 8, at most a tenth below: the rule of all MobileNets since the second."""
    rounded = max(DIVISOR, int(channels + DIVISOR / 2) // DIVISOR * DIVISOR)
    return rounded if rounded >= 0.9 * channels else rounded + DIVISOR


def build_mobile_graph(name: str, size: int, seed: int = 0) -> onnx.ModelProto:
    """images [N, 3, size, size] -> logits [N, 1000]. Raises ImportError without onnx."""
    spec = SPECS[name]
    graph = _Graph(seed)
    channels = spec.stem  # not narrowed with the rest, as in timm's
    x = graph.convolve("images", 3, channels, 3, 2, activation=spec.activation)
    for block in spec.blocks:
        out = round_channels(block.channels * spec.width)
        if isinstance(block, Convolution):
            x = graph.convolve(
                x, channels, out, block.kernel, block.stride, activation=spec.activation
            )
        else:
            expanded = round_channels(block.expanded * spec.width)
            x = _add_bottleneck(graph, x, block, channels, expanded, out)
        channels = out
    last = round_channels(spec.last * spec.width)
    x = graph.convolve(x, channels, last, 1, activation=spec.activation)
    x = graph.node("GlobalAveragePool", x)
    x = graph.convolve(x, last, spec.features, 1, activation=spec.activation)
    x = graph.node("Flatten", x)
    weights = graph.weights((CLASSES, spec.features), gain=1), graph.biases(CLASSES)
    graph.node("Gemm", x, *weights, output="logits", transB=1)
    return graph.model(name, size)


def _add_bottleneck(
    graph: _Graph, x: str, block: Bottleneck, channels: int, expanded: int, out: int
) -> str:
    start = x
    if block.first:  # the stride is the later one's, where there is one
        stride = 1 if block.kernel else block.stride
        x = graph.convolve(x, channels, channels, block.first, stride, groups=channels)
    if expanded != channels:
        x = graph.convolve(x, channels, expanded, 1, activation=block.activation)
    if block.kernel:
        x = graph.convolve(
            *(x, expanded, expanded, block.kernel, block.stride),
            groups=expanded,
            activation=block.activation,
        )
    if block.squeeze:
        fewer = round_channels(expanded / 4)
        means = graph.node("GlobalAveragePool", x)
        means = graph.convolve(means, expanded, fewer, 1, activation=RELU)
        means = graph.convolve(means, fewer, expanded, 1)
        gate = graph.node("HardSigmoid", means, alpha=1 / 6, beta=0.5)
        x = graph.node("Mul", x, gate)
    x = graph.convolve(x, expanded, out, 1, gain=4 if block.squeeze else 1)  # gates are near 1/2
    return graph.node("Add", start, x) if out == channels and block.stride == 1 else x


class _Graph:
    """Collects nodes and random weights."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def convolve(
        self,
        x: str,
        channels: int,
        out: int,
        kernel: int,
        stride: int = 1,
        *,
        groups: int = 1,
        activation: str = "",
        gain: float = 1,
    ) -> str:
        gain *= GAINS.get(activation, 1)
        weight = self.weights((out, channels // groups, kernel, kernel), gain)
        sides: dict[str, Any] = {
            "kernel_shape": [kernel] * 2,
            "strides": [stride] * 2,
            "pads": [kernel // 2] * 4,
        }
        x = self.node("Conv", x, weight, self.biases(out), group=groups, **sides)
        return self.node(activation, x) if activation else x

    def weights(self, shape: tuple[int, ...], gain: float) -> str:
        """Of a variance that keeps the values' size from layer to layer (He et al. 2015)."""
        deviation = (gain / np.prod(shape[1:])) ** 0.5
        return self._add(self._random.normal(0, deviation, shape))

    def biases(self, count: int) -> str:
        return self._add(self._random.normal(0, 0.1, count))

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        from onnx import helper

        output = output or f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def model(self, name: str, size: int) -> onnx.ModelProto:
        from onnx import TensorProto, helper

        image: list[str | int | None] = ["N", 3, size, size]
        logits: list[str | int | None] = ["N", CLASSES]
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, image)],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, logits)],
            self._weights,
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)

    def _add(self, values: np.ndarray[Any, Any]) -> str:
        from onnx import numpy_helper

        name = f"weight_{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name
