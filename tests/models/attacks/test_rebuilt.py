"""models.attacks.rebuilt: networks from bundles answer as the engine, and have its gradients."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from models.attacks.rebuilt import rebuild
from models.attacks.target import Target
from models.data.augmentation import normalize
from models.errors import NoGradients
from models.export.bundle import ExportOptions, Source, export_bundle
from models.export.quantize import Calibration
from models.networks.convert import calibrate
from models.networks.registry import build_network
from runtime import load_engine, read_bundle
from runtime.bundle import ONNX_GRAPH, write_bundle
from tests.models.small_networks import PREPROCESSING


def make_pixels(count: int = 16, side: int = 16) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8)


def test_a_plan_answers_as_the_engine_and_has_gradients_of_the_training(tmp_path: Path) -> None:
    network = build_network("meliusnet13", 2)
    calibrate(network, 16, images=32)  # as in a trained network, batch norms fit what they see
    options = ExportOptions(parity_inputs=1, self_test=False)
    bundle = export_bundle(Source(network, ["a", "b"], PREPROCESSING), tmp_path / "bundle", options)
    inputs = normalize(make_pixels(64), PREPROCESSING)
    rebuilt = rebuild(bundle, inputs)
    engine = torch.from_numpy(load_engine(bundle).predict(inputs.numpy()))
    # random weights: a value at a threshold may fall on either side
    assert (rebuilt(inputs) - engine).abs().median() < 1e-4

    gradients = []
    for net in (rebuilt, network):
        x = inputs.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad((net(x)[:, 0] - net(x)[:, 1]).sum(), x)
        gradients.append(gradient.flatten(1))
    alike = torch.cosine_similarity(*gradients)
    assert (gradients[0] != 0).double().mean() > 0.5
    assert alike.mean() > 0.7  # of unrelated directions in 768 dimensions: 0 +- 0.04


def test_8_bit_layers_are_refused_with_a_remedy(tmp_path: Path) -> None:
    network = build_network("meliusnet13", 2)
    noise = np.random.default_rng(0).normal(size=(4, 3, 16, 16)).astype(np.float32)
    options = ExportOptions(
        parity_inputs=1, self_test=False, calibration=Calibration(noise, "noise")
    )
    bundle = export_bundle(Source(network, ["a", "b"], PREPROCESSING), tmp_path / "int8", options)
    with pytest.raises(NoGradients, match=r"found 8-bit ones.*Give the checkpoint.pt"):
        rebuild(bundle, torch.from_numpy(noise))


def test_a_mobilenet_is_rebuilt_from_its_graph(tmp_path: Path) -> None:
    network = build_network("mobilenet_v1_0.25_small", 2).eval()
    options = ExportOptions(parity_inputs=1, self_test=False)
    bundle = export_bundle(Source(network, ["a", "b"], PREPROCESSING), tmp_path / "bundle", options)
    inputs = normalize(make_pixels(3), PREPROCESSING)
    rebuilt = rebuild(bundle, inputs)
    assert torch.allclose(rebuilt(inputs), network(inputs), atol=1e-4)


def test_a_graph_of_other_operations_is_refused(
    opened: tuple[Target, object], tmp_path: Path
) -> None:
    bundle = opened[0].engine.bundle
    model = onnx.load(bundle.file(ONNX_GRAPH))
    model.graph.node[1].op_type = "Sigmoid"
    onnx.save(model, tmp_path / ONNX_GRAPH)
    manifest = replace(bundle.manifest, files={})
    write_bundle(tmp_path / "other", manifest, {ONNX_GRAPH: tmp_path / ONNX_GRAPH})
    with pytest.raises(NoGradients, match=r"expected a float network.*found Sigmoid.*checkpoint"):
        rebuild(read_bundle(tmp_path / "other"), torch.zeros(1, 3, 16, 16))
