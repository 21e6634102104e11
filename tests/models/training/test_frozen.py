"""models.training.frozen: layer groups that are not trained, and how the runtime runs them."""

import pytest
import torch
from torch import nn

from models.errors import RecipeError
from models.networks.convert import calibrate
from models.networks.meliusnet import MeliusNet
from models.networks.registry import build_network
from models.networks.specs import Spec
from models.training.frozen import FrozenGroups, freeze


def make_network() -> MeliusNet:
    torch.manual_seed(1)
    network = MeliusNet(Spec("tiny", (2, 1), (64,), stem="small"), 2)
    calibrate(network, 16)
    return network.eval()


@pytest.mark.parametrize("groups", [0, 1, 3, 4])
def test_the_first_groups_are_not_trained(groups: int) -> None:
    network = make_network()
    found = freeze(network, groups)
    assert found == network.layer_groups()[:groups]
    frozen = {id(p) for module in found for p in module.parameters()}
    for parameter in network.parameters():
        assert parameter.requires_grad != (id(parameter) in frozen)


@pytest.mark.parametrize("network", [make_network(), build_network("mobilenet_v1_0.25", 2)])
def test_more_groups_than_there_are_are_refused(network: nn.Module) -> None:
    most = 4 if isinstance(network, MeliusNet) else 0
    with pytest.raises(RecipeError, match=f"at most {most} layer groups .*; found 5"):
        freeze(network, 5)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_runtime_gives_the_same_maps(count: int) -> None:
    """But where rounding turns a bit, which changes a window of the layers after it."""
    network = make_network()
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(20, 3, 16, 16, generator=generator)
    found = FrozenGroups(network, count, 16)(images)
    with torch.no_grad():
        expected = images
        for group in network.layer_groups()[:count]:
            expected = group(expected)
    assert found.shape == expected.shape
    differs = ((found - expected).abs() > 1e-4).float().mean().item()
    assert differs < 0.05
    assert not found.requires_grad


def test_a_network_goes_on_from_what_its_first_groups_made() -> None:
    network = make_network()
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        whole = network(images)
        for count, group in enumerate(network.layer_groups(), 1):
            images = group(images)
            assert torch.equal(network(images, skip=count), whole)
