"""Initialises a larger network from a smaller one's weights, so that at first both answer alike.

A network may have more blocks at the end of its stages. A dense block adds channels, which the
transition's (or the head's) float layer does not read at first: its new weights are 0. The blocks'
own weights are random; they learn as soon as those of that layer are no longer 0. The idea is
function-preserving growth (Chen et al. 2016, "Net2Net").
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from models.networks.meliusnet import MeliusNet
from models.networks.specs import SPECS

SUMS = (
    18  # terms of +-1 for each channel read, of a dense block and an improvement block: 2 x 3 x 3
)


def can_grow(name: str, into: MeliusNet) -> bool:
    """Whether the network called `name` fits into `into`: alike but for more blocks a stage."""
    small = SPECS.get(name)
    if small is None or small.transitions != into.spec.transitions or into.spec.groups != 1:
        return False
    pairs = tuple(zip(small.blocks, into.spec.blocks, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def grow(tensors: Mapping[str, Tensor], network: MeliusNet) -> dict[str, Tensor]:
    """The state of `network` with those tensors of a smaller one in it; new weights of layers
    that read the new channels are 0.

    Raises ValueError naming the first tensor that does not fit.
    """
    grown: dict[str, Tensor] = {}
    for key, mine in network.state_dict().items():
        found = tensors.get(key)
        if found is None:
            if ".activation." not in key and ".conv." not in key:
                raise ValueError(f"expected {key} in the smaller network; found none")
            grown[key] = mine
        elif found.shape == mine.shape:
            grown[key] = found.to(mine.dtype)
        else:
            grown[key] = _widen(key, found, mine)
    if lost := sorted(tensors.keys() - grown.keys()):
        raise ValueError(f"expected a smaller network; found {lost[0]} besides")
    return grown


def _widen(key: str, found: Tensor, mine: Tensor) -> Tensor:
    """Of a transition or the head: its input channels (dimension 1, or 0 of a batch norm)."""
    batch_norm = found.dim() == 1
    same = found.shape[1:] == mine.shape[1:] if batch_norm else found.shape[0] == mine.shape[0]
    axis = 0 if batch_norm else 1
    fits = found.dim() == mine.dim() and same and found.shape[axis] < mine.shape[axis]
    if not fits or not key.startswith(("transitions.", "head.")):
        raise ValueError(f"{key}: expected at most {tuple(mine.shape)}; found {tuple(found.shape)}")
    out = mine.clone() if batch_norm else torch.zeros_like(mine)
    if key.endswith("running_var"):  # until it is measured: about that of the sums of two blocks
        out.copy_(SUMS * torch.arange(len(out)))
    out.narrow(axis, 0, found.shape[axis]).copy_(found)
    return out
