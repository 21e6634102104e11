"""Networks with gradients, rebuilt from bundles, which have only thresholds and packed signs.

Of a plan the binarizations get a straight-through estimator. Its window, in a training |BN(x)| <=
1.3, is here 1.3 times the spread (standard deviation) of the channel, measured on some images: the
batch norm's own scale is not in a bundle (models.training.bundle_weights). Of a float ONNX graph
the layers are rebuilt as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from models.errors import NoGradients
from models.training.bundle_weights import measure_batch_norms, restore_network
from runtime import Bundle
from runtime.bundle import ONNX_GRAPH

SPREAD_IMAGES = 64  # that the spread is measured on
REMEDY = (
    "Give the checkpoint.pt or the .safetensors weights that it was made from, or attack by scores "
    "alone: --attacks noise,square"
)


def check_rebuildable(bundle: Bundle) -> None:
    """Raises NoGradients for 8-bit layers, and for a graph of other operations than MobileNet-v1
    has.
    """
    plan = bundle.manifest.plan
    if not plan:
        GraphNetwork(onnx.load(bundle.file(ONNX_GRAPH)), str(bundle.path))
    elif any(name.endswith(".inverse_step") for name in plan.tensors()):
        raise NoGradients(
            f"{bundle.path}: expected float layers for an attack by gradients; found 8-bit ones, "
            f"whose rounding has none. {REMEDY}"
        )


def rebuild(bundle: Bundle, images: Tensor) -> nn.Module:
    """Preprocessed images -> logits, with gradients; `images` measure the spread of channels.

    Raises NoGradients as check_rebuildable does.
    """
    check_rebuildable(bundle)
    if not bundle.manifest.plan:
        return GraphNetwork(onnx.load(bundle.file(ONNX_GRAPH)), str(bundle.path))
    network = restore_network(bundle)
    measure_batch_norms(network, [images[:SPREAD_IMAGES]])
    return network


Operation = Callable[[Tensor], Tensor]


class GraphNetwork(nn.Module):
    """A float ONNX graph that is one chain, as models.export and models.tflite make MobileNets."""

    def __init__(self, model: onnx.ModelProto, where: str) -> None:
        super().__init__()
        constants = {
            tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
            for tensor in model.graph.initializer
        }
        self.operations: list[Operation] = []
        value = model.graph.input[0].name
        for node in model.graph.node:
            make = _OPERATIONS.get(node.op_type)
            arguments = [constants.get(name) for name in node.input[1:]]
            chained = len(node.input) > 0 and node.input[0] == value and None not in arguments
            if make is None or not chained:
                raise NoGradients(
                    f"{where}: expected a float network, a chain of {', '.join(_OPERATIONS)}; "
                    f"found {node.op_type}. {REMEDY}"
                )
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            self.operations.append(make(attributes, [a for a in arguments if a is not None]))
            value = node.output[0]

    def forward(self, x: Tensor) -> Tensor:
        for operation in self.operations:
            x = operation(x)
        return x


def _conv(attributes: dict[str, Any], tensors: Sequence[Tensor]) -> Operation:
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    strides, groups = attributes.get("strides", [1, 1]), attributes.get("group", 1)
    weight, bias = tensors[0], tensors[1] if len(tensors) > 1 else None

    def run(x: Tensor) -> Tensor:
        padded = F.pad(x, (left, right, top, bottom)) if top + left + bottom + right else x
        return F.conv2d(padded, weight, bias, strides, groups=groups)

    return run


def _clip(attributes: dict[str, Any], tensors: Sequence[Tensor]) -> Operation:
    low, high = (float(tensor) for tensor in tensors)
    return lambda x: x.clamp(low, high)


def _gemm(attributes: dict[str, Any], tensors: Sequence[Tensor]) -> Operation:
    weight = tensors[0] if attributes.get("transB", 0) else tensors[0].T
    return lambda x: F.linear(x, weight, tensors[1])


_OPERATIONS: Mapping[str, Callable[[dict[str, Any], Sequence[Tensor]], Operation]] = {
    "Conv": _conv,
    "Clip": _clip,
    "Gemm": _gemm,
    "Relu": lambda attributes, tensors: torch.relu,
    "GlobalAveragePool": lambda attributes, tensors: lambda x: x.mean((2, 3), keepdim=True),
    "Flatten": lambda attributes, tensors: lambda x: x.flatten(1),
    "Identity": lambda attributes, tensors: lambda x: x,
}
