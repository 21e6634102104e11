"""The full-precision reference equals packed parts, exactly in stages, and the training graph."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.networks.convert import calibrate, convert_network
from models.networks.meliusnet import MeliusNet
from models.networks.specs import Spec
from runtime.engines.native_engine import NativeEngine
from runtime.engines.prepare import prepare_parts
from runtime.engines.reference import EagerNetwork, FloatNetwork, Padded, batch_norm_of
from runtime.kernels import library
from runtime.kernels.bitpack import pack_bits
from runtime.plan import Plan, StemStep
from tests.runtime.bundles import make_bundle, make_images, make_network

FLOAT_BOUND = 1e-4
VARIANTS: list[dict[str, Any]] = [
    {"pairs": (2, 1)},
    {"stem": "grouped", "image": 32, "padding": 0},
    {"stem": "thumbnail", "padding": 1, "transitions": (160,), "groups": 2, "shuffle": 16},
    {"improvement": False},
    {"stem": "grouped", "image": 32, "groups": 2, "int8": True},
    {"int8": True},
]


@pytest.mark.parametrize("options", VARIANTS)
def test_each_part_equals_the_packed_part(options: dict[str, Any]) -> None:
    plan, tensors = make_network(**options)
    network, x = FloatNetwork(plan, tensors), make_images(plan, 3)
    for step, part, layer in zip(plan, prepare_parts(plan, tensors), network, strict=True):
        expected = library.run_part(part, x)
        found = layer(torch.from_numpy(x)).numpy()
        if step.part == "stage":
            assert np.array_equal(found, expected)
        else:
            worst = np.abs(found - expected).max()
            assert worst < FLOAT_BOUND, f"{step.name}: the worst value differs by {worst}"
        x = expected


def test_twin_equals_the_training_graph() -> None:
    torch.manual_seed(3)
    spec = Spec("tiny", (2, 1), (96,), stem="small")
    network = MeliusNet(spec, 7)
    calibrate(network, 16)
    converted = convert_network(network.eval(), 16)
    images = torch.randn(8, 3, 16, 16)
    with torch.no_grad():
        expected = network(images)
        found = FloatNetwork(converted.plan, converted.tensors)(images)
    assert (found - expected).abs().max() < FLOAT_BOUND
    assert torch.equal(found.argmax(1), expected.argmax(1))


def test_batch_norm_turns_exactly_at_the_threshold() -> None:
    infinity = np.float32(np.inf)
    largest = np.finfo(np.float32).max
    turning = np.float32([0.0, -0.0, 0.1, -3.0, 1e-45, 5e6, largest, -infinity, infinity])
    with np.errstate(over="ignore"):
        neighbours = [np.nextafter(turning, side) for side in (-infinity, infinity)]
    x = np.unique([*neighbours, turning])
    x = x[np.isfinite(x)].astype(np.float32)
    for flip in (False, True):
        flips = np.full(len(turning), flip)
        bn = batch_norm_of(turning, flips).eval()
        values = torch.from_numpy(
            np.broadcast_to(x[:, None, None, None], (len(x), len(turning), 1, 1)).copy()
        )
        found = (bn(values) >= 0).numpy()[:, :, 0, 0]
        assert np.array_equal(found, (x[:, None] >= turning) != flip)


def test_padding_may_differ_before_and_after() -> None:
    x = torch.randn(1, 2, 5, 5)
    pool = Padded((0, 1), float("-inf"), nn.MaxPool2d(2, 2))
    assert torch.equal(pool(x), nn.MaxPool2d(2, 2, ceil_mode=True)(x))
    plan, tensors = make_network(image=15)
    stem = plan[0]
    assert isinstance(stem, StemStep)
    first, second = stem.convolutions
    second = replace(second, window=replace(second.window, padding_before=0))
    plan = Plan((replace(stem, convolutions=(first, second)),))
    assert plan.output == (64, 7, 7)
    images = make_images(plan)
    expected = library.run_part(
        prepare_parts(plan, {k: v for k, v in tensors.items() if k.startswith("stem")})[0],
        images,
    )
    found = FloatNetwork(plan, tensors)(torch.from_numpy(images)).numpy()
    assert np.abs(found - expected).max() < FLOAT_BOUND


def test_weights_are_signs_of_the_right_bits() -> None:
    plan, tensors = make_network()
    layer = FloatNetwork(plan, tensors)[1][0]
    bits = np.moveaxis((layer.weight > 0).numpy(), 1, -1)
    assert np.array_equal(pack_bits(bits), tensors["stage1.layer0.weight"])
    assert set(layer.weight.unique().tolist()) == {-1.0, 1.0}


def test_eager_network_runs_whole_and_by_parts(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", graphs=False)
    images = make_images(bundle.manifest.plan, 2)
    twin = EagerNetwork(bundle)
    logits = twin.predict(images)
    x = images
    for index in range(len(bundle.manifest.plan)):
        x = twin.run_part(index, x)
    assert np.array_equal(x, logits)
    assert np.abs(logits - NativeEngine(bundle).predict(images)).max() < FLOAT_BOUND
