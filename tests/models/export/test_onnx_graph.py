"""models.export.onnx_graph: standard operators, weights once and at one bit, exact sums."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import save_file

from models.export.onnx_graph import build_graph
from models.networks.convert import Converted, calibrate, convert_network
from models.networks.meliusnet import MeliusNet
from models.networks.specs import Spec
from runtime.bundle import WEIGHTS
from runtime.engines.onnx_sessions import open_session
from runtime.engines.prepare import prepare_parts
from runtime.kernels import library
from tests.runtime.bundles import make_images, make_network

SIDE = 16


def make(folder: Path, padding: int = -1, integer: bool = False) -> tuple[MeliusNet, Converted]:
    network = MeliusNet(
        Spec("tiny", (1, 1), (64,), groups=4, shuffle=True, stem="small", padding=padding), 5
    )
    calibrate(network, SIDE)
    converted = convert_network(network, SIDE)
    save_file(converted.tensors, folder / WEIGHTS)
    onnx.save(build_graph(converted.plan, folder / WEIGHTS, "tiny", integer), folder / "model.onnx")
    return network, converted


def run(path: Path, images: np.ndarray) -> np.ndarray:
    return np.asarray(open_session(str(path)).run(["logits"], {"images": images})[0])


def test_graph_is_valid_and_uses_standard_operators_only(tmp_path: Path) -> None:
    make(tmp_path)
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)
    model = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    assert {node.domain for node in model.graph.node} == {""}
    assert [entry.domain for entry in model.opset_import] == [""]


def test_weights_stay_in_the_weight_file(tmp_path: Path) -> None:
    _, converted = make(tmp_path)
    model = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    external = [t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    assert {t.name for t in external} == set(converted.tensors)
    for tensor in external:
        record = {entry.key: entry.value for entry in tensor.external_data}
        assert int(record["length"]) == converted.tensors[tensor.name].nbytes
    inside = sum(len(t.raw_data) for t in model.graph.initializer)
    assert inside < 10_000


@pytest.mark.parametrize("padding", [-1, 0, 1])
@pytest.mark.parametrize("integer", [False, True])
def test_graph_equals_the_network(tmp_path: Path, padding: int, integer: bool) -> None:
    network, _ = make(tmp_path, padding, integer)
    images = torch.randn(3, 3, SIDE, SIDE)
    with torch.no_grad():
        expected = network(images).numpy()
    assert np.abs(run(tmp_path / "model.onnx", images.numpy()) - expected).max() < 1e-3


def test_int8_layers_round_and_clip_as_the_kernels_do(tmp_path: Path) -> None:
    plan, tensors = make_network(int8=True)
    save_file(tensors, tmp_path / WEIGHTS)
    onnx.save(build_graph(plan, tmp_path / WEIGHTS, "tiny"), tmp_path / "model.onnx")
    images = make_images(plan, 4)
    expected = images
    for part in prepare_parts(plan, tensors):
        expected = library.run_part(part, expected)
    assert np.abs(run(tmp_path / "model.onnx", images) - expected).max() < 1e-3
    model = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    stored = {t.name: t.data_type for t in model.graph.initializer}
    assert stored["head.weight"] == onnx.TensorProto.INT8


def test_one_step_alone_is_a_graph(tmp_path: Path) -> None:
    network, converted = make(tmp_path)
    step = converted.plan[1]
    graph = build_graph(converted.plan[1:2], tmp_path / WEIGHTS, "stage")
    onnx.save(graph, tmp_path / "stage.onnx")
    x = torch.randn(2, *step.input)
    with torch.no_grad():
        expected = network.stages[0].double()(x.double()).numpy()
    assert np.array_equal(run(tmp_path / "stage.onnx", x.numpy()), expected)
