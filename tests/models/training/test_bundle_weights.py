"""models.training.bundle_weights: the network of a bundle, trainable again, answers as it does."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.data.decoded import LabelledImages
from models.errors import RecipeError
from models.export.bundle import UNFITTED, ExportOptions, Source, export_bundle, move_to_end
from models.export.convert import calibrate, convert_network
from models.export.quantize import Calibration
from models.networks.binary import BinaryActivation, BinaryConv2d
from models.networks.meliusnet import DenseBlock, MeliusNet
from models.networks.registry import build_network
from models.networks.specs import SPECS, find_spec
from models.training.bundle_weights import (
    describe_bundle,
    measure_batch_norms,
    restore_network,
)
from runtime import Bundle, Preprocessing, load_engine
from tests.models.small_networks import write_small_bundle

SIDE = 16
PREPROCESSING = Preprocessing(18, SIDE, "bilinear", (120, 120, 120), (60, 60, 60))
QUICK = ExportOptions(parity_inputs=2, self_test=False)
CLASSES = ["bird", "cat", "other", "snake"]


def make_network(seed: int = 0, **changes: Any) -> MeliusNet:
    torch.manual_seed(seed)
    network = build_network("meliusnet13", len(CLASSES), **changes)
    assert isinstance(network, MeliusNet)
    calibrate(network, SIDE, seed)
    for module in network.modules():  # batch norms of all signs, one of them constant
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.mul_(torch.randn(module.num_features).sign())
    cast(nn.BatchNorm2d, network.stages[1][0].activation.bn).weight.data[3] = 0  # type: ignore[index, union-attr]
    return network


def write(network: MeliusNet, folder: Path, options: ExportOptions = QUICK) -> Bundle:
    """With "other" as its last logit."""
    ordered = MeliusNet(network.spec, network.num_classes).eval()
    ordered.load_state_dict(network.state_dict())
    move_to_end(ordered, CLASSES.index("other"))
    labels = [name for name in CLASSES if name != "other"]
    training = {"data": "animals", "classes": [*labels, "other"]}
    source = Source(ordered, labels, PREPROCESSING, training, known=UNFITTED)
    return export_bundle(source, folder / "bundle", options)


def see(network: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return cast(torch.Tensor, network(inputs))


@pytest.mark.parametrize("changes", [{}, {"stem": "thumbnail"}, {"improvement": False}])
def test_it_answers_as_the_network_that_was_exported(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    network = make_network(**changes)
    bundle = write(network, tmp_path)
    restored, classes = restore_network(bundle)
    assert classes == tuple(CLASSES)
    assert restored.spec == find_spec("meliusnet13", **changes)
    inputs = torch.randn(20, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(see(restored, inputs), see(network, inputs), atol=1e-4)
    again = convert_network(restored, SIDE).tensors
    for name, tensor in bundle.tensors().items():
        if "stage" in name:  # binary layers: bit for bit
            assert np.array_equal(again[name], tensor), name


def test_8_bit_layers_become_float_ones(tmp_path: Path) -> None:
    network = make_network()
    random = np.random.default_rng(0).standard_normal((8, 3, SIDE, SIDE)).astype(np.float32)
    options = replace(QUICK, calibration=Calibration(random, "noise"))
    bundle = write(network, tmp_path, options)
    weight = bundle.tensors()["head.weight"]
    assert weight.dtype == np.int8
    restored, _ = restore_network(bundle)
    half_a_step = network.head.fc.weight.abs().amax(1, keepdim=True) / 127 / 2
    assert ((restored.head.fc.weight - network.head.fc.weight).abs() <= half_a_step * 1.01).all()


@given(st.lists(st.floats(-50, 50, width=32), min_size=32, max_size=32), st.booleans())
@settings(max_examples=60, deadline=None)
def test_signs_are_those_of_the_thresholds_at_ties_and_beside_them(
    thresholds: list[float], flip: bool
) -> None:
    from models.training.bundle_weights import _fill_block  # what restore_network calls
    from runtime.kernels.bitpack import pack_bits

    spec = replace(SPECS["meliusnet13"])
    block = DenseBlock(32, spec).eval()
    threshold = np.array(thresholds, np.float32)
    threshold[0], threshold[1] = -np.inf, np.inf
    tensors = {
        "x.threshold": threshold,
        "x.flip": pack_bits(np.full(32, flip)),
        "x.weight": np.zeros((64, 3, 3, 1), np.uint32),
    }
    with torch.no_grad():
        _fill_block(block, "x", tensors)
    finite = np.nan_to_num(threshold, posinf=1, neginf=1)
    for x in (finite, np.nextafter(finite, np.float32(np.inf)), np.nextafter(finite, -np.inf)):
        at = torch.from_numpy(x.astype(np.float32)).view(1, 32, 1, 1)
        signs = see(block.activation, at).flatten().numpy() > 0
        assert np.array_equal(signs, (x.astype(np.float32) >= threshold) != flip)


def test_measured_batch_norms_keep_the_answers_in_eval_and_in_training(tmp_path: Path) -> None:
    network, _ = restore_network(write(make_network(), tmp_path))
    generator = torch.Generator().manual_seed(2)
    pixels = torch.randint(0, 256, (60, 3, 18, 18), dtype=torch.uint8, generator=generator)
    images = LabelledImages(pixels, torch.zeros(60, dtype=torch.long), ("a",))
    inputs = (pixels[:, :, 1:17, 1:17].float() - 120) / 60
    before = see(network, inputs)
    measure_batch_norms(network, images, PREPROCESSING)
    assert torch.allclose(see(network, inputs), before, atol=1e-3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
    assert torch.allclose(see(network.train(), inputs), before, atol=1e-3)


def test_gradients_pass_where_the_input_is_within_its_spread(tmp_path: Path) -> None:
    network, _ = restore_network(write(make_network(), tmp_path))
    pixels = torch.randint(0, 256, (50, 3, 18, 18), dtype=torch.uint8)
    images = LabelledImages(pixels, torch.zeros(50, dtype=torch.long), ("a",))
    measure_batch_norms(network, images, PREPROCESSING)
    for module in network.modules():
        if isinstance(module, BinaryActivation):
            sizes = module.bn.weight.abs()
            assert ((sizes - 1).abs() < 1e-3)[sizes > 0].all()
        if isinstance(module, BinaryConv2d):  # no sign turns at the first small step
            assert module.weight.abs().min() == module.weight.abs().max() > 0


def test_its_name_says_network_data_and_digest(tmp_path: Path) -> None:
    bundle = write(make_network(), tmp_path)
    assert describe_bundle(bundle).startswith("meliusnet13 on animals (bundle ")


def test_a_bundle_of_another_network_is_refused(tmp_path: Path) -> None:
    bundle = load_engine(write_small_bundle(tmp_path / "small")).bundle
    with pytest.raises(RecipeError, match="expected a bundle of a MeliusNet as initial weights"):
        restore_network(bundle)
