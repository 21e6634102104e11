"""Writes the bundle of a network: converts it, measures parity, adds a self-test."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import nn

from models.data.decoded import LabelledImages
from models.data.others import OTHER
from models.errors import CheckpointMismatch, RecipeError
from models.evaluation.accuracy import measure_accuracy
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
from models.networks.convert import Converted, convert_network
from models.networks.meliusnet import MeliusNet
from models.networks.mobilenet import MobileNetV1
from models.networks.registry import Network
from models.records.typed_json import as_json
from models.training.checkpoint import Checkpoint, build_trained, read_checkpoint
from models.training.linear_probe import find_last_layer
from runtime import Bundle, Known, Manifest, Preprocessing, load_engine
from runtime.bundle import ONNX_GRAPH, TORCHSCRIPT_GRAPH, WEIGHTS, write_bundle
from runtime.engines.reference import FloatNetwork
from runtime.plan import Plan

UNFITTED = Known("other", slope=1.0, offset=0.0, threshold=0.5)  # until models.known fits it


def write_files(converted: Converted, name: str, folder: Path, onnx_integer: bool) -> list[str]:
    """Writes weights and graphs of a packed network into `folder`; returns the files' names."""
    # Imported here, because it loads the operator library, which MobileNet does not need.
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
    classes: int,
) -> tuple[Converted, dict[str, Any]]:
    """The network with 8-bit float layers, and what the manifest says about it: layers,
    calibration, and how far the logits of `images` move from the training graph's.
    """
    quantized = quantize(converted, measure_ranges(converted, calibration.images))
    twin = FloatNetwork(quantized.plan, quantized.tensors)
    with torch.no_grad():
        logits, expected = (net(torch.from_numpy(images)).numpy() for net in (twin, network))
    return quantized, {
        "float_parts": "int8",
        "layers": quantized_layers(quantized.plan),
        "calibration": calibration.record(),
        "change": compare_logits(logits, expected, classes),
    }


@dataclass(frozen=True)
class Source:
    """A network, trained or not, and all that a bundle says about it."""

    network: Network
    labels: Sequence[str]
    preprocessing: Preprocessing
    training: dict[str, Any] | None = None  # for the manifest; None: untrained
    temperature: float = 1.0
    known: Known | None = None  # with the source "other" the last output is no label's


@dataclass(frozen=True)
class ExportOptions:
    """How a bundle is made, and what is measured on the way.

    calibration: if given, the float layers become 8-bit ones, and parity is measured against the
    8-bit network in float arithmetic; evaluation: images to measure its accuracy on.
    """

    parity_inputs: int = PARITY_INPUTS
    onnx_integer: bool = False
    calibration: Calibration | None = None
    evaluation: LabelledImages | None = None
    self_test: bool = True


@dataclass(frozen=True)
class _Draft:
    """A converted network: its manifest so far, its files by name, and what it is compared with."""

    manifest: Manifest
    files: dict[str, Path]
    reference: nn.Module


def export_bundle(source: Source, out: Path, options: ExportOptions | None = None) -> Bundle:
    """Converts the network, measures parity with every engine that runs here, and writes a bundle.

    If the options say so, it has a self-test, which all of these engines pass.

    Raises ConversionError, RecipeError, EngineUnavailable (no operator library to script the graph
    with, or WrongAnswer), BundleError.
    """
    options = options or ExportOptions()
    manifest = describe_source(source)
    images = parity_inputs(manifest.input, options.parity_inputs)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if isinstance(source.network, MeliusNet):
            draft = _convert_binary(source.network, manifest, images, options, folder)
        else:
            draft = _convert_float(source.network, manifest, options, folder)
        manifest = _measure(draft, images, options.evaluation, folder)
        files = draft.files
        if options.self_test:
            files = add_self_test(manifest, files, folder)
        return write_bundle(out, manifest, files)


def describe_source(source: Source) -> Manifest:
    """The manifest before conversion: without plan, files and figures."""
    size = source.preprocessing.crop
    return Manifest(
        name=source.network.spec.name,
        architecture=asdict(source.network.spec),
        input=(3, size, size),
        preprocessing=source.preprocessing,
        labels=tuple(source.labels),
        plan=Plan(),
        files={},
        trained=source.training is not None,
        training=source.training,
        temperature=source.temperature,
        known=source.known,
        created={
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "onnx": onnx.__version__,
        },
    )


def _convert_binary(
    network: MeliusNet,
    manifest: Manifest,
    images: NDArray[np.float32],
    options: ExportOptions,
    folder: Path,
) -> _Draft:
    reference: nn.Module = network.eval()
    converted = convert_network(network, manifest.preprocessing.crop)
    if options.calibration is not None:
        converted, record = quantize_network(
            network, converted, options.calibration, images, manifest.classes
        )
        manifest = replace(manifest, quantization=record)
        reference = FloatNetwork(converted.plan, converted.tensors)
    manifest = replace(manifest, plan=converted.plan)
    names = write_files(converted, manifest.name, folder, options.onnx_integer)
    return _Draft(manifest, {name: folder / name for name in names}, reference)


def _convert_float(
    network: MobileNetV1, manifest: Manifest, options: ExportOptions, folder: Path
) -> _Draft:
    if options.calibration is not None:
        raise RecipeError(
            f"expected a network with binary layers for 8-bit float layers, found "
            f"{manifest.name}, which is float throughout; leave --float-layers out"
        )
    size = manifest.preprocessing.crop
    network.eval()
    onnx.save(build_mobilenet_graph(network, size, manifest.name), folder / ONNX_GRAPH)
    return _Draft(manifest, {ONNX_GRAPH: folder / ONNX_GRAPH}, network)


def _measure(
    draft: _Draft,
    images: NDArray[np.float32],
    evaluation: LabelledImages | None,
    folder: Path,
) -> Manifest:
    """The manifest with parity, and with the accuracy of 8-bit float layers."""
    bundle = write_bundle(folder / "draft", draft.manifest, draft.files)
    manifest = replace(draft.manifest, parity=measure_parity(draft.reference, bundle, images))
    if manifest.quantization is None or evaluation is None:
        return manifest
    accuracy = as_json(measure_accuracy(load_engine(bundle), evaluation))
    return replace(manifest, quantization={**manifest.quantization, "accuracy": accuracy})


def load_checkpoint(path: Path, name: str) -> Checkpoint:
    """A checkpoint of models.train. Raises CheckpointMismatch if it is of another network."""
    checkpoint = read_checkpoint(path)
    if checkpoint.network != name:
        raise CheckpointMismatch(
            f"{path}: expected a checkpoint of {name}; found one of {checkpoint.network}. Give its "
            "own name."
        )
    return checkpoint


def export_checkpoint(
    checkpoint: Checkpoint, out: Path, options: ExportOptions | None = None
) -> Bundle:
    """`export_bundle` for a checkpoint. A class called OTHER becomes the last logit, and no label.

    Raises the same errors, and CheckpointMismatch if there is no other class.
    """
    calibration, classes = checkpoint.calibration, checkpoint.data.classes
    network, training = build_trained(checkpoint), training_record(checkpoint)
    labels, known = list(checkpoint.data.labels), None
    if OTHER in classes:
        if len(classes) == 1:
            raise CheckpointMismatch(
                f"expected classes beside {OTHER}, which stands for none of the labels; found none."
                " Train with some."
            )
        index, known = classes.index(OTHER), UNFITTED
        move_to_end(network, index)
        training["classes"].append(training["classes"].pop(index))
        del labels[index]
    source = Source(
        *(network, labels, checkpoint.preprocessing, training),
        *(calibration.temperature if calibration else 1.0, known),
    )
    return export_bundle(source, out, options)


def move_to_end(network: Network, index: int) -> None:
    """Makes an output of a network its last one; the others keep their order."""
    layer = find_last_layer(network)
    rest = [i for i in range(layer.out_features) if i != index]
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(parameter[[*rest, index]].clone())


def training_record(checkpoint: Checkpoint) -> dict[str, Any]:
    """What the manifest says about the training."""
    data, progress = checkpoint.data, checkpoint.state.progress
    some = {
        "classes": list(data.classes),
        "data_sha256": data.digests(),
        "teacher": checkpoint.teacher,
        "start": checkpoint.start,
        "commit": checkpoint.commit,
        "calibration": checkpoint.calibration and as_json(checkpoint.calibration),
        "enlarged": checkpoint.adaptation and as_json(checkpoint.adaptation),
        "averaged": checkpoint.averaging and as_json(checkpoint.averaging),
    }
    return {
        "data": data.name,
        "train_images": data.train_images,
        **{key: value for key, value in some.items() if value is not None},
        "recipe": asdict(checkpoint.recipe),
        "epochs_done": progress.epoch,
        "finished": checkpoint.finished,
        "seconds": round(progress.seconds),
        "device": checkpoint.device,
        "torch": checkpoint.torch,
        "accuracy": checkpoint.test and as_json(checkpoint.test),
    }
