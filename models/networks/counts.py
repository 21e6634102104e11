"""Counts of a network, measured on its real modules: parameters, bytes and operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.networks.binary import BinaryConv2d
from models.networks.registry import Network


@dataclass(frozen=True)
class Counts:
    """Sizes of a network and its operations for one image."""

    parameters: int
    packed_bytes: int
    binary_macs: int
    float_macs: int
    binary_convs: int


def count(network: Network, image_size: int) -> Counts:
    """Runs the network once on an image without data (the meta device) and counts what its layers
    do.
    """
    binary_macs = float_macs = 0

    def add_macs(module: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal binary_macs, float_macs
        if isinstance(module, BinaryConv2d):
            binary_macs += module.weight.numel() * output[0, 0].numel()
        elif isinstance(module, nn.Conv2d):
            float_macs += module.weight.numel() * output[0, 0].numel()
        elif isinstance(module, nn.Linear):
            float_macs += module.weight.numel()

    network = network.to("meta").eval()
    handles = [module.register_forward_hook(add_macs) for module in network.modules()]
    with torch.no_grad():
        network(torch.empty(1, 3, image_size, image_size, device="meta"))
    for handle in handles:
        handle.remove()
    binary_layers = [m for m in network.modules() if isinstance(m, BinaryConv2d)]
    parameters = sum(p.numel() for p in network.parameters())
    binary = sum(layer.weight.numel() for layer in binary_layers)
    return Counts(
        parameters=parameters,
        packed_bytes=binary // 8 + 4 * (parameters - binary),
        binary_macs=binary_macs,
        float_macs=float_macs,
        binary_convs=len(binary_layers),
    )
