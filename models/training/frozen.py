"""The first layer groups of a network, whose weights a training leaves as they are."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from models.errors import RecipeError
from models.networks.binary_kernels import load_kernels
from models.networks.convert import convert_groups
from models.networks.meliusnet import MeliusNet
from runtime.engines.prepare import prepare_parts


def freeze(network: nn.Module, groups: int) -> list[nn.Module]:
    """The first layer groups, of which no weight is trained: stem, stage, transition, stage, ...

    Raises RecipeError if the network has not as many, or is no MeliusNet.
    """
    found = network.layer_groups() if isinstance(network, MeliusNet) else []
    if groups > len(found):
        raise RecipeError(
            f"expected --freeze of at most {len(found)} layer groups for this network; found "
            f"{groups}"
        )
    for module in found[:groups]:
        module.requires_grad_(False)
    return found[:groups]


class FrozenGroups:
    """The first layer groups as the runtime runs them: images [N, 3, S, S] -> their map.

    Its float layers differ from torch's by rounding. The weights are those of now.
    Raises ConversionError for weights that are not finite, TorchUnavailable.
    """

    def __init__(self, network: nn.Module, count: int, side: int) -> None:
        load_kernels()
        converted, self._output = convert_groups(cast(MeliusNet, network), side, count)
        prepared = prepare_parts(converted.plan, converted.tensors)
        self._parts = [torch.tensor(part) for part in prepared]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        result: Tensor = torch.ops.bnn.run_network(
            images.contiguous(), self._parts, list(self._output)
        )
        return result
