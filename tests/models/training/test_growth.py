"""models.training.growth: a grown network answers as the smaller one does, and can learn more."""

import pytest
import torch

from models.networks.meliusnet import MeliusNet
from models.networks.registry import build_network
from models.training.growth import can_grow, grow


def grown() -> tuple[MeliusNet, MeliusNet]:
    torch.manual_seed(0)
    small = build_network("meliusnet13", 5, stem="grouped")
    large = build_network("meliusnet24", 5)
    assert isinstance(small, MeliusNet)
    assert isinstance(large, MeliusNet)
    small.train()(torch.randn(4, 3, 64, 64))  # statistics of its own
    large.load_state_dict(grow(small.state_dict(), large))
    return small.eval(), large.eval()


def test_both_answer_alike() -> None:
    small, large = grown()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(small(images), large(images), atol=1e-5)


def test_new_blocks_begin_to_learn() -> None:
    _, large = grown()
    optimizer = torch.optim.SGD(large.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        large.train()(torch.randn(2, 3, 64, 64)).square().sum().backward()
        optimizer.step()
    weight = large.stages[2][-1].conv.weight  # type: ignore[index]
    assert weight.grad.abs().sum() > 0


def test_only_networks_that_are_alike_can_grow() -> None:
    large = build_network("meliusnet24", 5)
    assert isinstance(large, MeliusNet)
    assert can_grow("meliusnet13", large)
    for name in ("meliusnet24", "meliusnet22", "mobilenet_v1"):
        assert not can_grow(name, large)
    small = build_network("meliusnet13", 5)  # another stem
    with pytest.raises(ValueError, match="stem"):
        grow(small.state_dict(), large)
