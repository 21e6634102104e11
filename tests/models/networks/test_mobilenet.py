"""models.networks.mobilenet: shapes and names."""

import pytest
import torch

from models.networks.mobilenet import MobileNetV1, find_mobilenet_spec


@pytest.mark.parametrize(("stride", "side"), [(2, 64), (1, 32)])
def test_logits_and_strides(stride: int, side: int) -> None:
    network = MobileNetV1(find_mobilenet_spec("mobilenet_v1_0.25", stem_stride=stride), 5).eval()
    features = network.features(torch.zeros(1, 3, side, side))
    assert features.shape == (1, 256, 2, 2)
    assert network(torch.zeros(2, 3, side, side)).shape == (2, 5)


def test_27_convolutions_with_relu6() -> None:
    network = MobileNetV1(find_mobilenet_spec("mobilenet_v1_0.25"), 5)
    assert len(network.features) == 27
    assert all(isinstance(layer[2], torch.nn.ReLU6) for layer in network.features)  # type: ignore[index]


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ValueError, match="known: mobilenet_v1"):
        find_mobilenet_spec("mobilenet_v9")
