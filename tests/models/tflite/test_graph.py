"""models.tflite.graph: the float graph is the dequantised network, the 8-bit graph its integers."""

import collections
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from models.tflite.graph import build_tflite_graph, dequantize
from models.tflite.network import Convolution, Layer, Quantization
from models.tflite.reader import read_tflite
from runtime.engines.onnx_sessions import make_options, open_session
from tests.emulation import NO_VNNI, run_python
from tests.models.tflite_files import CLASSES, SIDE, make_file
from tests.models.tflite_reference import compute_logits

IMAGES = 32


@pytest.fixture
def layers(rng: np.random.Generator, tmp_path: Path) -> tuple[Layer, ...]:
    return read_tflite(make_file(rng).write(tmp_path / "net.tflite")).layers


@pytest.fixture
def pixels(rng: np.random.Generator) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (IMAGES, 3, SIDE, SIDE), np.uint8)


def normalize(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return (pixels.astype(np.float32) - 128) / 128


def run(model: onnx.ModelProto, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits as the product computes them, of images normalised as the network wants them."""
    images = normalize(pixels)
    session = open_session(model.SerializeToString())
    return np.asarray(session.run(["logits"], {"images": images})[0])


def run_in_torch(layers: Sequence[Layer], pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    x = (torch.from_numpy(pixels.astype(np.float32)) - 128) / 128
    for layer in layers:
        if isinstance(layer, Convolution):
            top, left, bottom, right = layer.padding
            weight = dequantize(layer.weight, layer.weight_quantization)
            bias = torch.from_numpy((layer.bias * layer.bias_scale).astype(np.float32))
            x = F.pad(x, (left, right, top, bottom))
            x = F.conv2d(x, torch.from_numpy(weight), bias, layer.strides, groups=layer.groups)
            x = F.relu6(x) if layer.relu6 else x
        else:
            x = x.mean((2, 3), keepdim=True)
    return x[:, :, 0, 0].numpy()


@pytest.mark.parametrize("quantized", [False, True])
def test_graph_is_valid_and_uses_standard_operators_only(
    layers: tuple[Layer, ...], quantized: bool
) -> None:
    model = build_tflite_graph(layers, "net", quantized)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}


def test_float_graph_is_the_dequantised_network(
    layers: tuple[Layer, ...], pixels: NDArray[np.uint8]
) -> None:
    logits = run(build_tflite_graph(layers, "net", quantized=False), pixels)
    assert np.abs(logits - run_in_torch(layers, pixels)).max() < 1e-4
    assert logits.std() > 0.1


def test_int8_graph_computes_the_integers(
    layers: tuple[Layer, ...], pixels: NDArray[np.uint8]
) -> None:
    """In units of the logits' scale; one unit of difference is a sum that lies between two."""
    expected = compute_logits(layers, pixels)
    scale, zero_point = (
        getattr(layers[-1].output.quantization, n) for n in ("scale", "zero_point")
    )
    logits = run(build_tflite_graph(layers, "net", quantized=True), pixels)
    units = np.rint(logits / scale) + zero_point
    assert np.abs(logits - (units - zero_point) * scale).max() < 1e-5
    difference = np.abs(units - expected)
    assert difference.max() <= 1
    assert (difference == 0).mean() > 0.95
    assert len(np.unique(expected)) > 20


@pytest.mark.qemu
def test_int8_graph_needs_exact_products_where_a_cpu_has_none(
    layers: tuple[Layer, ...], pixels: NDArray[np.uint8], tmp_path: Path
) -> None:
    """On such a CPU a session of ONNX Runtime as it comes is wrong, one of open_session is not."""
    model = build_tflite_graph(layers, "net", quantized=True)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    np.save(tmp_path / "images.npy", normalize(pixels))
    program = f"""
import numpy
from runtime.engines.onnx_sessions import import_onnxruntime, open_session
graph, images = {str(tmp_path / "net.onnx")!r}, numpy.load({str(tmp_path / "images.npy")!r})
bare = import_onnxruntime().InferenceSession(graph, providers=["CPUExecutionProvider"])
logits = [session.run(None, {{"images": images}})[0] for session in (bare, open_session(graph))]
numpy.save({str(tmp_path / "logits.npy")!r}, logits)
"""
    run_python(NO_VNNI, program)
    expected, quantization = compute_logits(layers, pixels), layers[-1].output.quantization
    bare, exact = np.rint(np.load(tmp_path / "logits.npy") / quantization.scale)
    bare_difference, difference = (
        np.abs(units + quantization.zero_point - expected).max() for units in (bare, exact)
    )
    assert bare_difference > 1
    assert difference <= 1


def test_int8_graph_keeps_scales_and_zero_points(layers: tuple[Layer, ...]) -> None:
    model = build_tflite_graph(layers, "net", quantized=True)
    values = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    writers = {node.output[0]: node for node in model.graph.node}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    layers = tuple(layer for layer in layers if isinstance(layer, Convolution))
    for node, layer in zip(convolutions, layers, strict=True):
        assert isinstance(layer, Convolution)
        weight, scale, zero_point = (values[n] for n in writers[node.input[1]].input)
        assert weight.dtype == zero_point.dtype == np.int8
        assert np.array_equal(weight.astype(int) + 128, layer.weight)
        assert int(zero_point) + 128 == layer.weight_quantization.zero_point
        assert scale == np.float32(layer.weight_quantization.scale)
        bias, bias_scale = (values[n] for n in writers[node.input[2]].input)
        assert np.array_equal(bias, layer.bias)
        assert bias_scale == np.float32(layer.bias_scale)


def test_onnxruntime_fuses_the_int8_graph(layers: tuple[Layer, ...], tmp_path: Path) -> None:
    """Between the first quantisation and the last, no operator on floats is left."""
    options = make_options()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    open_session(build_tflite_graph(layers, "net", quantized=True).SerializeToString(), options)
    fused = onnx.load(tmp_path / "optimized.onnx").graph.node
    kinds = collections.Counter(node.op_type for node in fused)
    assert kinds.pop("QLinearConv") == 4
    assert kinds.pop("QLinearGlobalAveragePool") == 1
    assert kinds.pop("QuantizeLinear") == kinds.pop("DequantizeLinear") == 1
    assert set(kinds) <= {"Transpose", "Flatten", "Reshape"}


def test_dequantize_rounds_once() -> None:
    values = np.array([0, 120, 255], np.uint8)
    expected = np.float32([-120 * 0.3, 0, 135 * 0.3])
    assert np.array_equal(dequantize(values, Quantization(0.3, 120)), expected)
    assert dequantize(values, Quantization(0.3, 120)).dtype == np.float32


def test_shapes(layers: tuple[Layer, ...]) -> None:
    graph = build_tflite_graph(layers, "net", quantized=False).graph
    shapes = [
        [d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    ]
    assert shapes == [["N", 3, SIDE, SIDE], ["N", CLASSES]]
