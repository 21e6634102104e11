"""Makes the 8-bit version of a float bundle with ONNX Runtime's own quantizer.

It is static and per channel, which ONNX Runtime runs fastest on CPUs. The ranges of the activations
are measured on the photos of a folder, on the training images of packs, or on noise.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.image_files import SUFFIXES, list_images
from models.data.packs import find_packs, read_packs
from models.errors import DataError
from models.export.parity import compare_logits, parity_inputs
from models.export.stored_answers import add_self_test
from runtime import Bundle, ImageReader, Manifest, load_engine
from runtime.bundle import ONNX_GRAPH, check_replaceable, write_bundle
from runtime.engines.onnx_sessions import import_onnxruntime, import_quantizer

PHOTOS, NOISE_IMAGES = 256, 16  # max number of photos; number of noise images
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
    """Writes the bundle's 8-bit version. The ranges are measured on the photos in `folder`.

    Without a folder they are measured on noise; for a trained network only if `noise` allows it.
    The manifest says where the ranges come from and how far logits move. It has no accuracy: that
    of the float network is left out, because the 8-bit network was not measured.

    Raises DataError, BundleError, EngineUnavailable, FileExistsError.
    """
    manifest = bundle.manifest
    if manifest.plan:
        raise DataError(
            f"{bundle.path}: expected a bundle whose network is an ONNX graph alone, found one "
            "with binary layers. Give it 8-bit float layers instead: python -m models.export "
            "--float-layers int8"
        )
    if folder is None and manifest.trained and not noise:
        raise DataError(
            f"{bundle.path}: expected photos for a trained network's ranges, found none. Give a "
            "folder of them with --calibration DIR, or --noise to measure only time and memory"
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
            hierarchy=None,  # its levels were fitted to the other logits
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
    """Photos below a folder, or of its packs `train`, as the network sees them, in order.

    At most PHOTOS of them, evenly spaced: float32 [N, 3, H, W]. Raises DataError if there is none,
    InvalidImage.
    """
    encoded = _find_photos(folder)
    if not encoded:
        raise DataError(
            f"{folder}: expected photos ({', '.join(SUFFIXES)}) or packs of training images "
            "(train.npz), found none. Name another folder: --calibration DIR"
        )
    step = max(1, len(encoded) // PHOTOS)
    reader = ImageReader(manifest.preprocessing)
    return np.stack([reader.read_tensor(read()) for read in encoded[::step][:PHOTOS]])


def _find_photos(folder: Path) -> list[Callable[[], bytes]]:
    if packs := find_packs(folder, "train"):
        files = read_packs(packs)
        return [partial(files.read, i) for i in range(len(files))]
    return [file.read_bytes for file in list_images(folder)]


def _leave_accuracy_out(training: dict[str, Any] | None, bundle: Bundle) -> dict[str, Any] | None:
    if training is None:
        return None
    kept = {key: value for key, value in training.items() if key != "accuracy"}
    return {**kept, "quantized_from": bundle.manifest.name}
