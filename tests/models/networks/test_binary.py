"""models.networks.binary: signs, gradients, paddings."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.networks.binary import BinaryActivation, BinaryConv2d, binarize, binarize_weight


def test_zero_and_minus_zero_are_plus_one() -> None:
    x = torch.tensor([0.0, -0.0, 1e-30, -1e-30, 5.0, -5.0, float("inf"), -float("inf")])
    assert binarize(x).tolist() == [1, 1, 1, -1, 1, -1, 1, -1]
    assert binarize_weight(x).tolist() == [1, 1, 1, -1, 1, -1, 1, -1]


def test_nan_becomes_minus_one() -> None:
    assert binarize(torch.tensor([float("nan")])).item() == -1


@given(st.floats(-3, 3, width=32), st.sampled_from([1.0, 1.3]))
def test_activation_gradient_passes_up_to_the_clip(value: float, clip: float) -> None:
    x = torch.tensor([value], requires_grad=True)
    binarize(x, clip).backward(torch.tensor([2.5]))
    assert x.grad is not None
    limit = torch.tensor(clip)
    assert x.grad.item() == (2.5 if abs(x.detach()) <= limit else 0.0)


def test_weight_gradient_is_the_identity_everywhere() -> None:
    weight = torch.tensor([-9.0, -0.5, 0.0, 0.5, 9.0], requires_grad=True)
    binarize_weight(weight).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [1] * 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_dtype_is_kept(dtype: torch.dtype) -> None:
    assert binarize(torch.zeros(2, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("padding", [-1, 0, 1])
def test_convolution_equals_the_sum_over_the_window(padding: int) -> None:
    torch.manual_seed(3)
    conv = BinaryConv2d(5, 4, padding)
    x = binarize(torch.randn(2, 5, 4, 3))
    result = conv(x)
    weight = binarize_weight(conv.weight)
    for n, k, row, column in [(0, 0, 0, 0), (1, 3, 3, 2), (0, 2, 1, 1), (1, 1, 0, 2)]:
        total = 0.0
        for dy in range(3):
            for dx in range(3):
                y, z = row + dy - 1, column + dx - 1
                inside = 0 <= y < 4 and 0 <= z < 3
                for c in range(5):
                    value = x[n, c, y, z].item() if inside else padding
                    total += value * weight[k, c, dy, dx].item()
        assert result[n, k, row, column].item() == total


def test_unknown_padding_is_refused() -> None:
    with pytest.raises(ValueError, match="padding is 2"):
        BinaryConv2d(32, 64, 2)


def test_shift_moves_the_threshold() -> None:
    activation = BinaryActivation(1, shift=0.5).eval()
    x = torch.tensor([0.4, 0.6]).view(2, 1, 1, 1)
    assert activation(x).flatten().tolist() == [-1, 1]


def test_noise_moves_what_is_near_zero_in_training_alone() -> None:
    activation = BinaryActivation(1)
    activation.noise, activation.generator = 0.5, torch.Generator().manual_seed(0)
    x = torch.tensor([-9.0, -1.0, 1.0, 9.0] * 50).view(-1, 1, 1, 1)  # normalized: 1.4 and 0.16
    trained = activation(x).flatten()
    assert torch.equal(trained[::4], torch.full((50,), -1.0))
    assert torch.equal(trained[3::4], torch.full((50,), 1.0))
    assert 0.5 < (trained[2::4] == 1).float().mean() < 0.8
    assert torch.equal(activation.eval()(x), binarize(x))
