"""models.training.signs: how many binary weights have turned."""

import torch
from torch import nn

from models.networks.binary import BinaryConv2d
from models.training.signs import Signs


def make_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(BinaryConv2d(4, 8), nn.BatchNorm2d(8), BinaryConv2d(8, 8))


def test_nothing_has_turned_at_first_and_weights_that_turn_back_do_not_count() -> None:
    network = make_network()
    signs = Signs(network)
    assert signs.turned() == 0
    weights = [p for p in network.parameters() if p.dim() == 4]
    with torch.no_grad():
        weights[0].neg_()
        network[1].weight.neg_()  # a float one
    assert signs.turned() == 100 * weights[0].numel() / sum(w.numel() for w in weights)
    with torch.no_grad():
        weights[0].neg_().mul_(5)
    assert signs.turned() == 0


def test_zero_has_the_sign_plus() -> None:
    network = nn.Sequential(BinaryConv2d(2, 1))
    nn.init.constant_(network[0].weight, 0.5)  # type: ignore[arg-type]
    signs = Signs(network)
    nn.init.zeros_(network[0].weight)  # type: ignore[arg-type]
    assert signs.turned() == 0


def test_frozen_weights_are_left_out() -> None:
    network = make_network()
    network[0].requires_grad_(False)
    signs = Signs(network)
    with torch.no_grad():
        network[2].weight.neg_()  # type: ignore[operator]
    assert signs.turned() == 100


def test_a_network_without_binary_weights_has_none() -> None:
    assert Signs(nn.Sequential(nn.Conv2d(3, 4, 3))).turned() is None
