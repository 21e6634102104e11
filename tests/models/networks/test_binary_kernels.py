"""models.networks.binary_kernels: the same integers and gradients as the readable convolution."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.networks import binary_kernels
from models.networks.binary import CLIP, BinaryConv2d, binarize
from models.networks.meliusnet import MeliusNet, use_kernels
from models.networks.specs import Spec

PADDINGS = st.sampled_from([-1, 0, 1])
LIMIT = torch.tensor(CLIP)
BEYOND = torch.nextafter(LIMIT, torch.tensor(math.inf))


def make_case(seed: int, channels: int, shape: tuple[int, int, int]) -> list[Tensor]:
    """A map with many ties, a weight with a zero, and a gradient of the output."""
    generator = torch.Generator().manual_seed(seed)
    n, height, width = shape
    x = torch.randn(n, channels, height, width, generator=generator)
    ties = torch.stack([torch.tensor(0.0), torch.tensor(-0.0), LIMIT, -LIMIT, BEYOND, -BEYOND])
    chosen = torch.randint(0, 3 * len(ties), x.shape, generator=generator)
    x = torch.where(chosen < len(ties), ties[chosen % len(ties)], x)
    weight = torch.randn(64, channels, 3, 3, generator=generator)
    weight[0, 0, 0] = torch.tensor([0.0, -0.0, 1.0])
    return [x, weight, torch.randn(n, 64, height, width, generator=generator)]


def compute(case: list[Tensor], padding: int, by_kernels: bool) -> list[Tensor]:
    """Output, gradient of the input, gradient of the weight; without kernels in float64."""
    x, weight, wanted = (tensor.clone() if by_kernels else tensor.double() for tensor in case)
    x.requires_grad_()
    conv = BinaryConv2d(x.shape[1], len(weight), padding).to(x.dtype)
    conv.weight.data = weight
    if by_kernels:
        result = binary_kernels.convolve(x, conv.weight, CLIP, padding)
    else:
        result = conv(binarize(x, LIMIT.item()))
    result.backward(wanted)
    assert x.grad is not None
    assert conv.weight.grad is not None
    return [result.detach(), x.grad, conv.weight.grad]


def count_kernels(network: MeliusNet) -> int:
    return sum(getattr(module, "by_kernels", False) for module in network.modules())


@settings(max_examples=25)
@given(
    st.integers(0, 2**31),
    st.sampled_from([32, 64, 96]),
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
    PADDINGS,
)
def test_integers_are_equal_and_gradients_close(
    seed: int, channels: int, shape: tuple[int, int, int], padding: int
) -> None:
    case = make_case(seed, channels, shape)
    (found, at_x, at_weight), (integers, *gradients) = (
        compute(case, padding, by_kernels) for by_kernels in (True, False)
    )
    assert torch.equal(found.double(), integers)
    torch.testing.assert_close(at_x.double(), gradients[0], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(at_weight.double(), gradients[1], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("rows", [1, 7, 10**6])
def test_a_map_in_pieces_is_the_whole_map(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case(1, 32, (5, 3, 2))
    whole = compute(case, 1, by_kernels=True)
    monkeypatch.setattr(binary_kernels, "ROWS", rows)
    for found, expected in zip(compute(case, 1, by_kernels=True), whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_maps_may_lie_in_any_order() -> None:
    x, weight, wanted = make_case(2, 64, (2, 4, 5))
    last = x.contiguous(memory_format=torch.channels_last)
    for found, expected in zip(
        compute([last, weight, wanted], -1, by_kernels=True),
        compute([x, weight, wanted], -1, by_kernels=True),
        strict=True,
    ):
        assert torch.equal(found, expected)


def test_other_types_and_second_derivatives_are_refused() -> None:
    x, weight, _ = make_case(3, 32, (1, 2, 2))
    with pytest.raises(RuntimeError, match="expected dtype"):
        binary_kernels.convolve(x.double(), weight.double(), CLIP, -1)
    x.requires_grad_()
    result = binary_kernels.convolve(x, weight, CLIP, -1).square().sum()
    (gradient,) = torch.autograd.grad(result, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_a_network_answers_and_learns_alike() -> None:
    torch.manual_seed(0)
    network = MeliusNet(Spec("tiny", (1, 1), (64,), stem="small"), 3).train()
    images = torch.randn(4, 3, 16, 16)
    results: list[tuple[Tensor, list[Tensor]]] = []
    for wanted in (False, True):
        use_kernels(network, wanted)
        assert count_kernels(network) == (4 if wanted else 0)
        network.zero_grad()
        logits = network(images)
        logits.square().sum().backward()
        found = [p.grad.clone() for p in network.parameters() if p.grad is not None]
        results.append((logits.detach(), found))
    (logits, gradients), (by_kernels, found) = results
    torch.testing.assert_close(by_kernels, logits, rtol=1e-4, atol=1e-4)
    for a, b in zip(found, gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-5 + 1e-3 * float(b.abs().max()))


def test_float_layers_stay_with_torch() -> None:
    full = MeliusNet(Spec("float", (1,), (), stem="small", binary=False), 2)
    use_kernels(full)
    assert count_kernels(full) == 0
    assert full(torch.zeros(1, 3, 16, 16)).shape == (1, 2)
