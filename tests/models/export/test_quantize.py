"""models.export.quantize: which layers become 8-bit ones, their ranges, weights and scales."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import DataError
from models.export.quantize import (
    load_calibration,
    measure_ranges,
    quantize,
    quantize_weights,
    quantized_layers,
)
from models.networks.convert import Converted, calibrate, convert_network
from models.networks.meliusnet import MeliusNet
from models.networks.specs import Spec, StemName
from runtime import Preprocessing
from runtime.engines.reference import FloatNetwork
from tests.models.images import write_two_colours

SIDE = 16


def convert(stem: StemName, side: int = SIDE) -> Converted:
    torch.manual_seed(0)
    network = MeliusNet(Spec("tiny", (1, 1), (64,), stem=stem), 5)
    calibrate(network, side)
    return convert_network(network.eval(), side)


def noise(count: int, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 3, side, side)).astype(np.float32)


@pytest.mark.parametrize(
    ("stem", "convolutions"),
    [
        ("grouped", ["stem.conv1", "stem.conv2"]),
        ("small", ["stem.conv1"]),
        ("thumbnail", []),
        ("imagenet7x7", []),
    ],
)
def test_all_float_layers_but_the_first(stem: StemName, convolutions: list[str]) -> None:
    converted = convert(stem, 32)
    names = quantized_layers(converted.plan)
    assert names == [*convolutions, "transition1", "head"]
    assert len(measure_ranges(converted, noise(1, 32))) == len(names)


def test_a_range_is_the_largest_input() -> None:
    converted, images = convert("small"), noise(3)
    network = FloatNetwork(converted.plan, converted.tensors)
    stem, stage, transition, *_ = network.children()
    seen = torch.relu(stem[0](torch.from_numpy(images)))  # type: ignore[index]
    pooled = stage(stem(torch.from_numpy(images)))
    for layer in list(transition.children())[:-1]:
        pooled = layer(pooled)
    found = measure_ranges(converted, images)
    assert found[:2] == pytest.approx([float(seen.max()), float(pooled.max())], rel=1e-5)


def test_weights_keep_their_sign_and_reach_127() -> None:
    weight = np.array([[0.5, -1.0, 0.25], [0, 0, 0], [-3.0, 3.0, 0.01]], np.float32)
    levels, scale = quantize_weights(weight)
    assert levels.dtype == np.int8
    assert levels.tolist() == [[64, -127, 32], [0, 0, 0], [-127, 127, 0]]
    assert np.abs(levels * scale[:, np.newaxis] - weight).max() <= scale.max() / 2


def test_the_quantized_network_is_close_and_the_original_unchanged() -> None:
    converted, images = convert("small"), noise(8)
    steps = list(converted.steps)
    before = {name: tensor.copy() for name, tensor in converted.tensors.items()}
    quantized = quantize(converted, measure_ranges(converted, images))
    assert converted.steps == steps
    assert all(np.array_equal(before[name], converted.tensors[name]) for name in before)
    types = quantized.plan.tensors()
    assert all(types[f"{name}.weight"][0] == np.int8 for name in quantized_layers(converted.plan))
    with torch.no_grad():
        stems = [
            next(FloatNetwork(c.plan, c.tensors).children())(torch.from_numpy(images))
            for c in (converted, quantized)
        ]
    assert (stems[0] - stems[1]).abs().max() < 0.03 * stems[0].max()


def test_a_layer_that_is_always_zero_is_no_division_by_zero() -> None:
    converted = convert("small")
    quantized = quantize(converted, [0.0] * 3)
    assert all(
        np.isfinite(tensor).all()
        for name, tensor in quantized.tensors.items()
        if name.endswith(("sum_scale", "inverse_step"))
    )


def test_calibration_takes_a_seeded_choice_of_training_images(tmp_path: Path) -> None:
    write_two_colours(tmp_path, train=6)
    spec = Preprocessing(8, 8, "bilinear", (0.0,) * 3, (255.0,) * 3)
    one, two = (load_calibration(tmp_path, spec, 5, progress=False) for _ in range(2))
    assert one.images.shape == (5, 3, 8, 8)
    assert np.array_equal(one.images, two.images)
    assert one.record() == {"source": "train", "images": 5, "range": "maximum"}


def test_missing_training_images_are_named(tmp_path: Path) -> None:
    spec = Preprocessing(8, 8, "bilinear", (0.0,) * 3, (255.0,) * 3)
    with pytest.raises(DataError, match=r"expected train/ or train\.npz"):
        load_calibration(tmp_path, spec)
