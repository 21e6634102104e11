"""Writes the bundle of a network: converts it, measures parity, adds a self-test."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import nn

from models.data.decoded import LabelledImages
from models.errors import CheckpointMismatch, RecipeError
from models.evaluation.accuracy import measure_accuracy
from models.export.convert import Converted, convert_network
from models.export.mobilenet_graph import build_mobilenet_graph
from models.export.onnx_graph import build_graph
from models.export.parity import (
    PARITY_INPUTS,
    compare_logits,
    measure_parity,
    parity_inputs,
)
from models.export.quantize import (
    Calibration,
    measure_ranges,
    quantize,
    quantized_layers,
)
from models.export.stored_answers import add_self_test
from models.networks.meliusnet import MeliusNet
from models.networks.registry import Network
from models.training.checkpoint import build_trained, is_finished, read_checkpoint
from runtime import Bundle, Manifest, Preprocessing, load_engine
from runtime.bundle import ONNX_GRAPH, TORCHSCRIPT_GRAPH, WEIGHTS, write_bundle
from runtime.engines.reference import FloatNetwork
from runtime.plan import Plan


def write_files(converted: Converted, name: str, folder: Path, onnx_integer: bool) -> list[str]:
    """Writes weights and graphs of a packed network into `folder`; returns the files' names."""
    # Here, because it loads the operator library, which MobileNet does without.
    from runtime.engines.layers import save_network, script_network

    save_file(converted.tensors, folder / WEIGHTS)
    onnx.save(
        build_graph(converted.plan, folder / WEIGHTS, name, onnx_integer), folder / ONNX_GRAPH
    )
    save_network(script_network(converted.plan), folder / TORCHSCRIPT_GRAPH)
    return [WEIGHTS, ONNX_GRAPH, TORCHSCRIPT_GRAPH]


def quantize_network(
    network: nn.Module,
    converted: Converted,
    calibration: Calibration,
    images: NDArray[np.float32],
) -> tuple[Converted, dict[str, Any]]:
    """The network with 8-bit float parts, and what the manifest says of it: layers, calibration,
    and how far the logits of `images` move from the training graph's.
    """
    quantized = quantize(converted, measure_ranges(converted, calibration.images))
    twin = FloatNetwork(quantized.plan, quantized.tensors)
    with torch.no_grad():
        logits, expected = (net(torch.from_numpy(images)).numpy() for net in (twin, network))
    return quantized, {
        "float_parts": "int8",
        "layers": quantized_layers(quantized.plan),
        "calibration": calibration.record(),
        "change": compare_logits(logits, expected),
    }


def export_bundle(
    network: Network,
    out: Path,
    labels: Sequence[str],
    preprocessing: Preprocessing,
    training: dict[str, Any] | None,
    parity_count: int = PARITY_INPUTS,
    onnx_integer: bool = False,
    temperature: float = 1.0,
    calibration: Calibration | None = None,
    evaluation: LabelledImages | None = None,
    self_test: bool = True,
) -> Bundle:
    """Converts, writes, measures parity with every engine that runs here, records it in the
    manifest, and adds a self-test that all of them pass, unless self_test is False.

    With calibration, the float parts become 8-bit ones, and parity is that with the 8-bit network
    in float arithmetic; evaluation: pictures to measure accuracy on. Raises ConversionError,
    EngineUnavailable (no operator library to script the graph with, or WrongAnswer), BundleError.
    """
    size = preprocessing.crop
    manifest = Manifest(
        name=network.spec.name,
        architecture=asdict(network.spec),
        input=(3, size, size),
        preprocessing=preprocessing,
        labels=tuple(labels),
        plan=Plan(),
        files={},
        trained=training is not None,
        training=training,
        temperature=temperature,
        created={
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "onnx": onnx.__version__,
        },
    )
    images = parity_inputs(manifest.input, parity_count)
    twin: nn.Module = network.eval()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if isinstance(network, MeliusNet):
            converted = convert_network(network, size)
            if calibration is not None:
                converted, record = quantize_network(network, converted, calibration, images)
                manifest = replace(manifest, quantization=record)
                twin = FloatNetwork(converted.plan, converted.tensors)
            manifest = replace(manifest, plan=converted.plan)
            names = write_files(converted, manifest.name, folder, onnx_integer)
        elif calibration is None:
            onnx.save(build_mobilenet_graph(network, size, manifest.name), folder / ONNX_GRAPH)
            names = [ONNX_GRAPH]
        else:
            raise RecipeError(
                f"expected a network with binary layers for 8-bit float parts, found "
                f"{manifest.name}, all of which is float; leave --float-parts out"
            )
        files = {name: folder / name for name in names}
        draft = write_bundle(folder / "draft", manifest, files)
        manifest = replace(manifest, parity=measure_parity(twin, draft, images))
        if manifest.quantization is not None and evaluation is not None:
            accuracy = measure_accuracy(load_engine(draft), evaluation)
            manifest = replace(
                manifest, quantization={**manifest.quantization, "accuracy": accuracy}
            )
        if self_test:
            files = add_self_test(manifest, files, folder)
        return write_bundle(out, manifest, files)


def load_checkpoint(path: Path, name: str) -> dict[str, Any]:
    """The content of a checkpoint of models.train.

    Raises CheckpointMismatch if it is of another network.
    """
    content = read_checkpoint(path)
    if content["network"] != name:
        raise CheckpointMismatch(
            f"{path}: expected a checkpoint of {name}; found one of {content['network']}. Give its "
            "own name."
        )
    return content


def export_checkpoint(
    content: dict[str, Any],
    out: Path,
    parity_count: int = PARITY_INPUTS,
    onnx_integer: bool = False,
    calibration: Calibration | None = None,
    evaluation: LabelledImages | None = None,
) -> Bundle:
    """`export_bundle` of a checkpoint's content. Raises as that does."""
    return export_bundle(
        build_trained(content),
        out,
        content.get("labels", content["classes"]),
        Preprocessing(**content["preprocessing"]),
        training_record(content),
        parity_count,
        onnx_integer,
        (content.get("calibration") or {}).get("temperature", 1.0),
        calibration,
        evaluation,
    )


def training_record(content: dict[str, Any]) -> dict[str, Any]:
    """What the manifest says of the training."""
    more = ("classes", "data_sha256", "teacher", "start", "commit", "calibration", "enlarged")
    return {
        "data": content["data"],
        "train_images": content["train_images"],
        **{key: content[key] for key in more if content.get(key) is not None},
        "recipe": content["state"]["recipe"],
        "epochs_done": content["state"]["epoch"],
        "finished": is_finished(content),
        "seconds": round(content["state"]["seconds"]),
        "device": content["device"],
        "torch": content["torch"],
        "accuracy": content["test"],
    }
