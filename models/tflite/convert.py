"""Bundles of quantised .tflite classifiers for the onnx engine, in float32 and in their integers.

If the first label is "background", that class is left out, and the index of every other one is
lower by 1.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from models.data.label_files import BACKGROUND, read_labels
from models.data.preprocessing import SHORTER_SIDE
from models.export.stored_answers import add_self_test
from models.tflite.graph import build_tflite_graph
from models.tflite.network import Convolution, Layer, join_parts
from models.tflite.reader import read_tflite
from runtime import Bundle, Manifest, Preprocessing
from runtime.bundle import ONNX_GRAPH, check_replaceable, sha256_of, write_bundle
from runtime.plan import Plan

PRECISIONS = ("float", "int8")  # names of the bundles' directories
LABELS = "imagenet_labels.txt"
NAME_ENDS = "_quant"  # mobilenet_v1_1.0_224_quant_embedding_extractor.tflite


def import_tflite(
    files: Sequence[Path], out: Path, labels: Path | None = None, reduce: float | None = None
) -> list[Bundle]:
    """Writes the bundles out/float and out/int8; `labels` is by default imagenet_labels.txt beside
    the first file, `reduce` that of the preprocessing.

    Both are built and pass their self-test before the first of them is written, each as a whole.
    Raises TfliteError, DataError, OSError, BundleError, EngineUnavailable.
    """
    layers = join_parts([read_tflite(file) for file in files])
    outputs = layers[-1].output.shape[2]
    names = read_labels(labels or files[0].with_name(LABELS), (outputs,))
    if names[0] == BACKGROUND:
        layers, names = _drop_first_class(layers), names[1:]
    for precision in PRECISIONS:
        check_replaceable(out / precision)
    record = {"imported_from": {file.name: sha256_of(file) for file in files}}
    with tempfile.TemporaryDirectory() as temporary:
        ready = []
        for precision in PRECISIONS:
            manifest = _describe(layers, names, files[0], precision, record, reduce)
            graph = Path(temporary) / f"{precision}.onnx"
            onnx.save(build_tflite_graph(layers, manifest.name, precision == "int8"), graph)
            folder = Path(temporary) / precision
            folder.mkdir()
            tested = add_self_test(manifest, {ONNX_GRAPH: graph}, folder)
            ready.append((out / precision, manifest, tested))
        return [write_bundle(*bundle) for bundle in ready]


def _drop_first_class(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    *others, last = layers
    assert isinstance(last, Convolution)
    height, width, classes = last.output.shape
    return *others, replace(
        last,
        weight=last.weight[1:],
        bias=last.bias[1:],
        output=replace(last.output, shape=(height, width, classes - 1)),
    )


def _describe(
    layers: Sequence[Layer],
    labels: tuple[str, ...],
    file: Path,
    precision: str,
    record: dict[str, Any],
    reduce: float | None,
) -> Manifest:
    """The manifest: images are cropped to the network's input as in ImageNet's evaluation, and
    normalised by the scale and zero point that the file gives the input.
    """
    size, quantization = layers[0].input.shape[0], layers[0].input.quantization
    convolutions = [layer for layer in layers if isinstance(layer, Convolution)]
    return Manifest(
        name=f"{file.stem.partition(NAME_ENDS)[0]}_{precision}",
        architecture={
            "precision": precision,
            "convolutions": len(convolutions),
            "parameters": sum(layer.weight.size + layer.bias.size for layer in convolutions),
        },
        input=(3, size, size),
        preprocessing=Preprocessing(
            resize=round(size * SHORTER_SIDE),
            crop=size,
            interpolation="bilinear",
            mean=(quantization.zero_point,) * 3,
            std=(1 / quantization.scale,) * 3,
            reduce=reduce,
        ),
        labels=labels,
        plan=Plan(),
        files={},
        trained=True,
        training=record,
        parity={"onnx": {"not_measured": "imported: there is no training graph to compare with"}},
        created={"python": platform.python_version(), "onnx": onnx.__version__},
    )
