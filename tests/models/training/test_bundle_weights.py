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
from models.export.quantize import Calibration
from models.networks.binary import BinaryActivation, BinaryConv2d
from models.networks.convert import calibrate, convert_network
from models.networks.meliusnet import DenseBlock, MeliusNet
from models.networks.registry import build_network
from models.networks.specs import SPECS, find_spec
from models.training.bundle_weights import (
    _fill_block,  # what restore_network calls
    describe_bundle,
    draw_batches,
    measure_batch_norms,
    order_classes,
    restore_network,
)
from models.training.initial_weights import read_start
from runtime import Bundle, Preprocessing, load_engine
from runtime.kernels.bitpack import pack_bits
from tests.models.small_networks import write_small_bundle

SIDE = 16
PREPROCESSING = Preprocessing(18, SIDE, "bilinear", (120, 120, 120), (60, 60, 60))
QUICK = ExportOptions(parity_inputs=2, self_test=False)
CLASSES = ["bird", "cat", "other", "snake"]


def make_network(seed: int = 0, side: int = SIDE, **changes: Any) -> MeliusNet:
    torch.manual_seed(seed)
    network = build_network("meliusnet13", len(CLASSES), **changes)
    assert isinstance(network, MeliusNet)
    calibrate(network, side, seed)
    for module in network.modules():  # batch norms of all signs, one of them constant
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.mul_(torch.randn(module.num_features).sign())
    cast(nn.BatchNorm2d, network.stages[1][0].activation.bn).weight.data[3] = 0  # type: ignore[index, union-attr]
    return network


def write(
    network: MeliusNet, folder: Path, options: ExportOptions = QUICK, side: int = SIDE
) -> Bundle:
    """With "other" as its last logit."""
    ordered = MeliusNet(network.spec, network.num_classes).eval()
    ordered.load_state_dict(network.state_dict())
    move_to_end(ordered, CLASSES.index("other"))
    labels = [name for name in CLASSES if name != "other"]
    training = {"data": "animals", "classes": [*labels, "other"]}
    preprocessing = replace(PREPROCESSING, resize=side, crop=side)
    source = Source(ordered, labels, preprocessing, training, known=UNFITTED)
    return export_bundle(source, folder / "bundle", options)


def see(network: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return cast(torch.Tensor, network(inputs))


def are_alike(logits: torch.Tensor, others: torch.Tensor) -> bool:
    """But for images with a value on the edge of a threshold, which rounding moves across it."""
    differences = (logits - others).abs().amax(1)
    return bool((differences < 1e-3).double().mean() >= 0.8)


@pytest.mark.parametrize("changes", [{}, {"stem": "thumbnail"}, {"improvement": False}])
def test_it_answers_as_the_network_that_was_exported(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    network = make_network(**changes)
    bundle = write(network, tmp_path)
    restored = restore_network(bundle)
    classes, order = order_classes(bundle.manifest)
    assert classes == tuple(CLASSES)
    assert restored.spec == find_spec("meliusnet13", **changes)
    inputs = torch.randn(20, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    assert are_alike(see(restored, inputs)[:, order], see(network, inputs))
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
    restored = restore_network(bundle)
    layers = [("head.fc", 1), ("transitions.0.conv", 1), ("transitions.2.conv", 1)]
    _, order = order_classes(bundle.manifest)
    for name, axis in layers:
        weight = network.get_submodule(name).weight
        found = restored.get_submodule(name).weight
        found = found[order] if name == "head.fc" else found
        half_a_step = weight.abs().flatten(1).amax(axis) / 127 / 2
        differences = (found - weight).abs().flatten(1).amax(axis)
        assert (differences <= half_a_step * 1.01).all(), name
    stem = [m for m in restored.stem.modules() if isinstance(m, nn.Conv2d)][1]
    folded = convert_network(network, SIDE).tensors["stem.conv1.weight"]
    assert np.allclose(stem.weight.detach(), folded, atol=np.abs(folded).max() / 127)


@given(st.lists(st.floats(-50, 50, width=32), min_size=32, max_size=32), st.booleans())
@settings(max_examples=60, deadline=None)
def test_signs_are_those_of_the_thresholds_at_ties_and_beside_them(
    thresholds: list[float], flip: bool
) -> None:
    block = DenseBlock(32, SPECS["meliusnet13"]).eval()
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
    constant = torch.isinf(torch.from_numpy(threshold))
    before = see(block.activation, torch.zeros(1, 32, 1, 1)).flatten()
    noise = torch.randn(8, 32, 4, 4, generator=torch.Generator().manual_seed(0))
    measure_batch_norms(block, [noise])
    after = see(block.activation, torch.zeros(1, 32, 1, 1)).flatten()
    assert torch.equal(before[constant], after[constant])
    assert all(tensor.isfinite().all() for tensor in block.state_dict().values())


def test_measured_batch_norms_keep_the_answers_in_eval_and_in_training(tmp_path: Path) -> None:
    network = restore_network(write(make_network(), tmp_path))
    generator = torch.Generator().manual_seed(2)
    pixels = torch.randint(0, 256, (60, 3, 18, 18), dtype=torch.uint8, generator=generator)
    images = LabelledImages(pixels, torch.zeros(60, dtype=torch.long), ("a",))
    inputs = (pixels[:, :, 1:17, 1:17].float() - 120) / 60
    before = see(network, inputs)
    measure_batch_norms(network, draw_batches(images, PREPROCESSING))
    assert are_alike(see(network, inputs), before)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
    assert are_alike(see(network.train(), inputs), before)


def test_batch_norms_divide_by_the_deviation_and_latent_weights_are_alike(tmp_path: Path) -> None:
    network = restore_network(write(make_network(), tmp_path))
    inputs = torch.randn(50, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    measure_batch_norms(network, [inputs])
    for module in network.modules():
        if isinstance(module, BinaryActivation):
            sizes = module.bn.weight.abs()
            assert ((sizes - 1).abs() < 1e-3)[sizes > 0].all()
        if isinstance(module, BinaryConv2d):  # no sign turns at the first small step
            assert module.weight.abs().min() == module.weight.abs().max() > 0


def test_latent_weights_get_the_size_that_is_asked_for(tmp_path: Path) -> None:
    bundle = write(make_network(), tmp_path)
    usual, smaller = restore_network(bundle), restore_network(bundle, 0.002)
    for one, other in zip(usual.modules(), smaller.modules(), strict=True):
        if isinstance(one, BinaryConv2d) and isinstance(other, BinaryConv2d):
            assert torch.equal(one.weight.sign() * 0.002, other.weight)


def test_new_blocks_of_a_network_that_has_grown_stay_as_they_are(tmp_path: Path) -> None:
    bundle = write(make_network(side=64, stem="grouped"), tmp_path, side=64)
    network = build_network("meliusnet24", len(CLASSES))
    assert isinstance(network, MeliusNet)
    read_start(bundle.path).begin(network, "meliusnet24", CLASSES)
    inputs = torch.randn(20, 3, 64, 64, generator=torch.Generator().manual_seed(4))
    measure_batch_norms(network, [inputs])
    assert (network.stages[1][-1].activation.bn.bias == 0).all()
    assert (network.stages[1][0].activation.bn.running_var < 2**30).all()
    widened = network.transitions[1].bn.running_var
    assert widened.isfinite().all()
    assert (widened < 2**30).all()


def test_classes_without_other_keep_the_order_of_the_training(tmp_path: Path) -> None:
    """ImageNet's classes are not in alphabetical order."""
    network = make_network()
    names = ["tench", "goldfish", "shark", "crane"]
    training = {"data": "fish", "classes": names}
    bundle = export_bundle(Source(network, names, PREPROCESSING, training), tmp_path / "b", QUICK)
    assert order_classes(bundle.manifest) == (tuple(names), [0, 1, 2, 3])
    fresh = build_network("meliusnet13", len(names))
    assert read_start(bundle.path).begin(fresh, "meliusnet13", names)
    assert torch.equal(fresh.state_dict()["head.fc.weight"], network.head.fc.weight)


def test_a_plan_of_another_network_than_named_is_refused(tmp_path: Path) -> None:
    bundle = write(make_network(), tmp_path)
    architecture = {**bundle.manifest.architecture, "blocks": [2, 2, 2, 3]}
    other = Bundle(bundle.path, replace(bundle.manifest, architecture=architecture))
    with pytest.raises(RecipeError, match="expected a plan of the network that the manifest"):
        restore_network(other)


def test_its_name_says_network_data_and_digest(tmp_path: Path) -> None:
    bundle = write(make_network(), tmp_path)
    assert describe_bundle(bundle).startswith("meliusnet13 on animals (bundle ")


def test_a_bundle_of_another_network_is_refused(tmp_path: Path) -> None:
    bundle = load_engine(write_small_bundle(tmp_path / "small")).bundle
    with pytest.raises(RecipeError, match="expected a bundle of a MeliusNet; found one of small"):
        restore_network(bundle)
