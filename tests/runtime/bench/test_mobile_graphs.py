"""MobileNetV3 and V4: sizes as published, and graphs that run."""

import numpy as np
import onnx
import pytest

from runtime.bench.mobile_graphs import CLASSES, SPECS, build_mobile_graph, round_channels
from runtime.engines.onnx_sessions import open_session

# Millions of parameters (batch norms folded) and of multiply-adds at 224 pixels. Published: 2.5 and
# 56; 5.4 and 219; 3.8 and 200; half of the channels: 2.2 parameters (timm).
SIZES = {
    "mobilenet_v3_small": (2.54, 56.5),
    "mobilenet_v3_large": (5.47, 216.6),
    "mobilenet_v4_conv_small_0.5": (2.23, 64.7),
    "mobilenet_v4_conv_small": (3.76, 186.0),
}


def test_every_network_has_its_size_told() -> None:
    assert set(SIZES) == set(SPECS)


@pytest.mark.parametrize("name", SPECS)
def test_sizes_are_those_of_the_papers(name: str) -> None:
    graph = onnx.shape_inference.infer_shapes(build_mobile_graph(name, 224)).graph
    onnx.checker.check_graph(graph)
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    shapes = {
        value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.output)
    }
    macs = 0
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm"):
            macs += int(np.prod(weights[node.input[1]])) * int(np.prod(shapes[node.output[0]][2:]))
    parameters, operations = SIZES[name]
    assert sum(np.prod(shape) for shape in weights.values()) / 1e6 == pytest.approx(
        parameters, abs=0.005
    )
    assert macs / 1e6 == pytest.approx(operations, abs=0.06)


@pytest.mark.parametrize("name", SPECS)
def test_logits_depend_on_the_image(name: str) -> None:
    """A signal that fades on its way would let any peer pass the comparison."""
    session = open_session(build_mobile_graph(name, 64).SerializeToString())
    images = np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(np.float32)
    (logits,) = session.run(None, {"images": images})
    assert logits.shape == (2, CLASSES)
    assert np.std(logits[0] - logits[1]) > 0.05 * np.std(logits)


def test_weights_are_seeded() -> None:
    first, again, other = (build_mobile_graph("mobilenet_v3_small", 32, seed) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(("channels", "rounded"), [(4, 8), (18, 24), (19, 24), (72, 72), (3.3, 8)])
def test_channels_are_rounded_to_eights(channels: float, rounded: int) -> None:
    assert round_channels(channels) == rounded
