"""models.networks.meliusnet: shapes, order of operations, what the blocks change."""

import pytest
import torch
from torch import nn

from models.networks.binary import BinaryActivation, BinaryConv2d
from models.networks.meliusnet import (
    DenseBlock,
    ImprovementBlock,
    MeliusNet,
    Stage,
    Transition,
    make_stem,
)
from models.networks.specs import SPECS, Spec

TINY = Spec("tiny", (1, 2), (96,), stem="small")


@pytest.mark.parametrize(
    ("stem", "side"), [("grouped", 16), ("imagenet7x7", 16), ("thumbnail", 64), ("small", 32)]
)
def test_stems_end_in_64_channels(stem: str, side: int) -> None:
    assert make_stem(stem)(torch.zeros(2, 3, 64, 64)).shape == (2, 64, side, side)


def test_unknown_stem_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown stem 'norm'"):
        make_stem("norm")


def test_dense_block_appends_and_keeps() -> None:
    torch.manual_seed(0)
    block = DenseBlock(32, TINY).eval()
    x = torch.randn(1, 32, 4, 4)
    y = block(x)
    assert y.shape == (1, 96, 4, 4)
    assert torch.equal(y[:, :32], x)
    assert torch.equal(y[:, 32:], y[:, 32:].round())  # raw integers, no batch norm after


def test_improvement_block_changes_the_last_64_only() -> None:
    torch.manual_seed(0)
    block = ImprovementBlock(96, TINY).eval()
    x = torch.randn(1, 96, 4, 4).round()
    y = block(x)
    assert torch.equal(y[:, :32], x[:, :32])
    added = y[:, 32:] - x[:, 32:]
    assert torch.equal(added, block.conv(block.activation(x)))
    assert added.abs().sum() > 0


def test_transition_normalises_before_it_pools() -> None:
    transition = Transition(16, 1, 1, shuffle=False).eval()
    nn.init.constant_(transition.bn.weight, -1.0)
    nn.init.constant_(transition.conv.weight, 1.0)
    x = torch.zeros(1, 16, 2, 2)
    x[0, 0] = torch.tensor([[-3.0, 1.0], [2.0, 5.0]])
    # -x is 3 at most; pooling first would give -5 and ReLU 0
    assert transition(x).item() == pytest.approx(3, rel=1e-4)


def test_transition_shuffles_in_16_groups_before_the_convolution() -> None:
    transition = Transition(32, 32, 32, shuffle=True).eval()
    nn.init.constant_(transition.conv.weight, 1.0)
    x = torch.arange(32.0).view(1, 32, 1, 1).expand(1, 32, 2, 2).contiguous()
    order = (transition(x).flatten() / transition(x).max() * 31).round().tolist()
    assert order == [float(c) for c in torch.arange(32).view(16, 2).T.flatten()]


def test_binarydensenet_has_no_improvement_blocks() -> None:
    stage = Stage(64, 3, SPECS["binarydensenet28"])
    assert all(isinstance(block, DenseBlock) for block in stage)
    assert stage(torch.zeros(1, 64, 2, 2)).shape == (1, 256, 2, 2)


@pytest.mark.parametrize("improvement", [True, False])
def test_network_gives_logits_and_gradients(improvement: bool) -> None:
    torch.manual_seed(0)
    network = MeliusNet(Spec("tiny", (1, 1), (96,), stem="small", improvement=improvement), 7)
    logits = network(torch.randn(3, 3, 16, 16))
    assert logits.shape == (3, 7)
    logits.sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_shift_starts_every_activation_below_zero() -> None:
    network = MeliusNet(Spec("tiny", (1, 1), (96,), stem="small", shift=0.25), 2)
    block = network.stages[0][0]  # type: ignore[index]
    assert torch.all(block.activation.bn.bias == -0.25)


def test_full_precision_reference_has_the_same_shapes_and_float_layers_alone() -> None:
    torch.manual_seed(0)
    twin = MeliusNet(Spec("tiny", (1, 1), (96,), stem="small", binary=False), 7)
    logits = twin(torch.randn(3, 3, 16, 16))
    assert logits.shape == (3, 7)
    logits.sum().backward()
    assert all(p.grad is not None for p in twin.parameters())
    assert not any(isinstance(m, BinaryConv2d | BinaryActivation) for m in twin.modules())
    binary = MeliusNet(Spec("tiny", (1, 1), (96,), stem="small"), 7)
    assert sum(p.numel() for p in twin.parameters()) == sum(p.numel() for p in binary.parameters())
