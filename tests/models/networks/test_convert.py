"""models.networks.convert: folding is exact, including ties, negative and zero scales."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from models.networks.convert import (
    ConversionError,
    calibrate,
    convert_network,
    fold_affine,
    fold_convolution,
    fold_thresholds,
    output_side,
)
from models.networks.meliusnet import MeliusNet
from models.networks.specs import Spec
from runtime.kernels.bitpack import unpack
from runtime.kernels.parts import Window
from runtime.plan import StageStep, StemStep

TINY = Spec("tiny", (1, 2), (96,), stem="grouped")


def norm_of(gamma: float, beta: float, mean: float, variance: float) -> nn.BatchNorm2d:
    bn = nn.BatchNorm2d(1).eval()
    for tensor, value in (
        (bn.weight.data, gamma),
        (bn.bias.data, beta),
        (bn.running_mean, mean),
        (bn.running_var, variance),
    ):
        assert tensor is not None
        tensor.fill_(value)
    return bn


def bits(bn: nn.BatchNorm2d, x: np.ndarray) -> np.ndarray:
    threshold, flip = fold_thresholds(bn)
    return np.asarray((x >= threshold[0]) ^ flip[0])


FINITE = st.floats(-1e4, 1e4, width=32)


@given(FINITE, FINITE, FINITE, st.floats(0, 1e4, width=32), st.lists(FINITE, min_size=1))
def test_thresholds_equal_batch_norm_in_float64(
    gamma: float, beta: float, mean: float, variance: float, values: list[float]
) -> None:
    bn = norm_of(gamma, beta, mean, variance)
    x = np.array(values, np.float32)
    deviation = np.sqrt(np.float64(bn.running_var) + bn.eps)  # type: ignore[arg-type]
    with np.errstate(over="ignore"):
        exact = np.float64(mean) - np.float64(beta) * deviation / (gamma or 1)
    if gamma > 0:
        expected = x >= exact
    elif gamma < 0:
        expected = x <= exact
    else:
        expected = np.full(len(x), beta >= 0)
    assert np.array_equal(bits(bn, x), expected)


@pytest.mark.parametrize("gamma", [0.5, -0.5])
def test_ties_are_plus_one_on_both_sides(gamma: float) -> None:
    bn = norm_of(gamma, 0.0, 3.0, 1.0)
    below, above = np.nextafter(np.float32(3), np.float32([-9, 9]))
    found = bits(bn, np.array([below, 3, above], np.float32))
    assert found.tolist() == ([False, True, True] if gamma > 0 else [True, True, False])


@pytest.mark.parametrize(("beta", "expected"), [(0.0, True), (-0.0, True), (2, True), (-2, False)])
def test_zero_scale_is_constant(beta: float, expected: bool) -> None:
    found = bits(norm_of(0.0, beta, 5.0, 1.0), np.array([-1e30, 0, 1e30], np.float32))
    assert found.tolist() == [expected] * 3


def test_zero_variance_is_kept_finite_by_eps() -> None:
    assert bits(norm_of(1.0, 0.0, 2.0, 0.0), np.array([1.99, 2.0], np.float32)).tolist() == [0, 1]


@pytest.mark.parametrize(("gamma", "expected"), [(1e-38, [1, 1]), (-1e-38, [1, 1])])
def test_threshold_beyond_float32_is_constant(gamma: float, expected: list[int]) -> None:
    bn = norm_of(gamma, 3e38, 0.0, 1.0)
    assert bits(bn, np.array([-3e38, 3e38], np.float32)).tolist() == expected


def test_affine_and_convolution_equal_the_modules() -> None:
    torch.manual_seed(0)
    conv, bn = nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(6)
    bn.train()(torch.randn(8, 6, 5, 5) * 3 + 1)
    nn.init.normal_(bn.weight)
    bn.eval()
    x = torch.randn(2, 4, 7, 7)
    weight, bias = fold_convolution(conv, bn)
    folded = nn.functional.conv2d(x, torch.from_numpy(weight), torch.from_numpy(bias), groups=2)
    assert torch.allclose(folded, bn(conv(x)), atol=1e-5)
    scale, shift = fold_affine(bn)
    y = torch.randn(2, 6, 3, 3)
    folded = y.double() * torch.tensor(scale)[:, None, None] + torch.tensor(shift)[:, None, None]
    assert torch.allclose(folded.float(), bn(y), atol=1e-5)


def test_not_finite_parameters_are_refused() -> None:
    network = MeliusNet(TINY, 4)
    network.stages[0][0].activation.bn.running_var[3] = float("nan")  # type: ignore[index]
    with pytest.raises(ConversionError, match="expected finite parameters"):
        convert_network(network, 32)


def test_full_precision_references_are_refused() -> None:
    with pytest.raises(ConversionError, match="found those of a full-precision reference"):
        convert_network(MeliusNet(replace(TINY, binary=False), 4), 32)


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "padding", "expected"),
    [
        (224, 3, 2, (1, 1), 112),
        (224, 3, 2, (0, 1), 112),
        (7, 2, 2, (0, 0), 3),
        (5, 3, 1, (1, 1), 5),
    ],
)
def test_output_side(
    side: int, kernel: int, stride: int, padding: tuple[int, int], expected: int
) -> None:
    assert output_side(side, Window(kernel, stride, *padding)) == expected


def test_too_few_pixels_are_refused() -> None:
    with pytest.raises(ConversionError, match="use more pixels"):
        output_side(1, Window(2, 2))


def test_plan_follows_the_network() -> None:
    network = MeliusNet(TINY, 4)
    calibrate(network, 32)
    converted = convert_network(network, 32)
    assert [(s.name, s.input, s.output) for s in converted.plan] == [
        ("stem", (3, 32, 32), (64, 8, 8)),
        ("stage1", (64, 8, 8), (128, 8, 8)),
        ("transition1", (128, 8, 8), (96, 4, 4)),
        ("stage2", (96, 4, 4), (224, 4, 4)),
        ("head", (224, 4, 4), (4,)),
    ]
    stage = converted.plan[3]
    assert isinstance(stage, StageStep)
    assert stage.layers == ("dense", "improvement") * 2
    weight = network.stages[0][0].conv.weight.detach().numpy()  # type: ignore[index]
    packed = unpack(converted.tensors["stage1.layer0.weight"])
    assert np.array_equal(packed.transpose(0, 3, 1, 2), np.where(weight >= 0, 1, -1))


def test_thumbnail_stem_has_no_relu_and_no_pool() -> None:
    network = MeliusNet(Spec("tiny", (1, 1), (64,), stem="thumbnail"), 4)
    (stem, *_) = convert_network(network, 16).plan
    assert isinstance(stem, StemStep)
    assert stem.pool is None
    assert [conv.relu for conv in stem.convolutions] == [False]
