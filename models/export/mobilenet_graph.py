"""MobileNet-v1 as an ONNX graph: folded convolutions with ReLU6, weights inside the graph."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx
from torch import nn

from models.export.onnx_graph import GraphBuilder
from models.networks.convert import fold_convolution
from models.networks.mobilenet import ConvBNReLU6, MobileNetV1


def build_mobilenet_graph(network: MobileNetV1, image_size: int, name: str) -> onnx.ModelProto:
    """images [N, 3, S, S] -> logits [N, classes], in eval mode."""
    graph = GraphBuilder(None)
    zero, six = graph.constant(0, np.float32), graph.constant(6, np.float32)
    x = "images"
    for layer in network.features:
        conv, bn = cast(ConvBNReLU6, layer)[0], cast(ConvBNReLU6, layer)[1]
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(bn, nn.BatchNorm2d)
        weight, bias = fold_convolution(conv, bn)
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        x = graph.node(
            "Conv",
            x,
            graph.constant(weight, np.float32),
            graph.constant(bias, np.float32),
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[kernel // 2] * 4,
            group=conv.groups,
        )
        x = graph.node("Clip", x, zero, six)
    x = graph.node("Flatten", graph.node("GlobalAveragePool", x))
    weight, bias = (p.detach().cpu().numpy() for p in (network.fc.weight, network.fc.bias))
    logits = graph.node(
        "Gemm", x, graph.constant(weight, np.float32), graph.constant(bias, np.float32), transB=1
    )
    return graph.model(name, logits, (3, image_size, image_size), [network.num_classes])
