"""The 8-bit twin of a float bundle, by ONNX Runtime's own quantizer.

Static, per channel, as ONNX Runtime runs fastest on CPUs. The activations' ranges are those that
the photos of a folder reach, or noise.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError
from models.export.parity import compare_logits, parity_inputs
from models.export.stored_answers import add_self_test
from runtime import Bundle, ImageReader, Manifest, load_engine
from runtime.bundle import ONNX_GRAPH, check_replaceable, write_bundle
from runtime.engines.onnx_sessions import import_onnxruntime, import_quantizer

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif"})
PHOTOS, NOISE_IMAGES = 256, 16  # at most so many photos; so much noise
SEED = 321
INPUT = "images"

Images = NDArray[np.float32]


def quantize_bundle(
    bundle: Bundle,
    out: Path,
    folder: Path | None,
    noise: bool = False,
    self_test: bool = True,
) -> Bundle:
    """Writes the bundle's 8-bit twin; `folder` has the photos that the ranges are taken from, None:
    noise, which a trained network takes only if `noise` says so.

    The manifest says what the ranges are from and how far logits move; the accuracy that the float
    network had is left out of it, because nobody measured this one's.

    Raises DataError, BundleError, EngineUnavailable, FileExistsError.
    """
    manifest = bundle.manifest
    if manifest.plan:
        raise DataError(
            f"{bundle.path}: expected a bundle whose network is an ONNX graph alone, found one "
            "with binary layers. Give it 8-bit float parts instead: python -m models.export "
            "--float-parts int8"
        )
    if folder is None and manifest.trained and not noise:
        raise DataError(
            f"{bundle.path}: expected photos for a trained network's ranges, found none. Name a "
            "folder of them: --calibration DIR; or take noise, for time and memory alone: --noise"
        )
    check_replaceable(out)
    images = parity_inputs(manifest.input, NOISE_IMAGES, SEED)
    if folder is not None:
        images = read_photos(folder, manifest)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        graph = work / ONNX_GRAPH
        quantize_graph(bundle.path / ONNX_GRAPH, graph, images)
        expected = load_engine(bundle, "onnx").predict(images)
        twin = replace(
            manifest,
            name=f"{manifest.name.removesuffix('_float')}_int8",
            training=_leave_accuracy_out(manifest.training, bundle),
            parity={"onnx": {"not_measured": "8 bits throughout: see quantization"}},
            quantization=None,
            reduction=None,
            known=manifest.known and replace(manifest.known, measured=None),
            files={},
        )
        draft = write_bundle(work / "draft", twin, {ONNX_GRAPH: graph})
        twin = replace(
            twin,
            quantization={
                "float_parts": "int8",
                "quantizer": f"onnxruntime {import_onnxruntime().__version__}, static, per channel",
                "calibration": {
                    "source": "noise" if folder is None else "photos",
                    "images": len(images),
                    "range": "minimum and maximum",
                },
                "change": compare_logits(
                    load_engine(draft, "onnx").predict(images), expected, manifest.classes
                ),
            },
        )
        files = {ONNX_GRAPH: graph}
        if self_test:
            files = add_self_test(twin, files, work)
        return write_bundle(out, twin, files)


def quantize_graph(graph: Path, out: Path, images: Images) -> None:
    """Writes the 8-bit form of a float32 graph; images [N, 3, H, W], normalised.

    Raises OnnxUnavailable.
    """
    quantizer = import_quantizer()

    class Reader(quantizer.CalibrationDataReader):  # type: ignore[name-defined, misc]
        """The images, one at a time."""

        def __init__(self) -> None:
            self._left: Iterator[Images] = iter(images[:, np.newaxis])

        def get_next(self) -> dict[str, Any] | None:
            """The next image; None at the end, as the quantizer has it."""
            image = next(self._left, None)
            return None if image is None else {INPUT: image}

    prepared = out.with_suffix(".prepared.onnx")
    quantizer.shape_inference.quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)
    quantizer.quantize_static(
        str(prepared),
        str(out),
        Reader(),
        quant_format=quantizer.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantizer.QuantType.QUInt8,
        weight_type=quantizer.QuantType.QInt8,
    )
    prepared.unlink()


def read_photos(folder: Path, manifest: Manifest) -> Images:
    """The photos below a folder as the network sees them, by name: float32 [N, 3, H, W].

    Raises DataError if there is none, InvalidImage.
    """
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(
            f"{folder}: expected photos ({', '.join(sorted(SUFFIXES))}), found none. Name another "
            "folder: --calibration DIR"
        )
    step = max(1, len(files) // PHOTOS)
    reader = ImageReader(manifest.preprocessing)
    return np.stack([reader.read_tensor(file.read_bytes()) for file in files[::step][:PHOTOS]])


def _leave_accuracy_out(training: dict[str, Any] | None, bundle: Bundle) -> dict[str, Any] | None:
    if training is None:
        return None
    kept = {key: value for key, value in training.items() if key != "accuracy"}
    return {**kept, "quantized_from": bundle.manifest.name}
