"""models.export.mobilenet_graph: the folded ONNX graph equals the network in eval mode."""

import numpy as np
import onnx
import pytest
import torch

from models.export.mobilenet_graph import build_mobilenet_graph
from models.networks.convert import calibrate
from models.networks.mobilenet import MobileNetV1, find_mobilenet_spec
from runtime.engines.onnx_sessions import open_session


@pytest.mark.parametrize(("stride", "side"), [(2, 64), (1, 32)])
def test_graph_equals_the_network(stride: int, side: int) -> None:
    network = MobileNetV1(find_mobilenet_spec("mobilenet_v1_0.25", stem_stride=stride), 6)
    calibrate(network, side)
    graph = build_mobilenet_graph(network, side, "test")
    onnx.checker.check_model(graph, full_check=True)
    session = open_session(graph.SerializeToString())
    images = torch.randn(3, 3, side, side)
    with torch.no_grad():
        expected = network(images).numpy()
    (logits,) = session.run(None, {"images": images.numpy()})
    assert np.abs(logits - expected).max() < 1e-4
