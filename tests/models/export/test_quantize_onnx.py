"""models.export.quantize_onnx: the 8-bit twin of a float network, and what its manifest says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from models.data.image_files import read_folder
from models.data.packs import write_packs
from models.data.preprocessing import evaluation_preprocessing
from models.export.__main__ import main as export
from models.export.bundle import ExportOptions, Source, export_bundle
from models.export.quantize_onnx import quantize_bundle, read_photos
from models.networks.registry import build_network
from models.training.initial_weights import read_start
from runtime import Hierarchy, Level, Node, load_engine, read_bundle
from runtime.bundle import ONNX_GRAPH, write_bundle
from tests.runtime.images import make_noise


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained MobileNet-v1 of 32 pixels that knows five classes."""
    out = tmp_path_factory.mktemp("quantize") / "bundle"
    arguments = ["--num-classes", "5", "--image-size", "32", "--no-self-test", "--out", str(out)]
    assert export(["mobilenet_v1_0.25_small", *arguments]) == 0
    return out


@pytest.fixture
def trained(bundle: Path, tmp_path: Path) -> Path:
    """The same, said to be trained."""
    training = {"data": "photos", "accuracy": {"top1": 80.0, "images": 10}}
    manifest = replace(read_bundle(bundle).manifest, trained=True, training=training)
    return write_bundle(
        tmp_path / "trained", manifest, {name: bundle / name for name in manifest.files}
    ).path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four photos in two folders."""
    for i in range(4):
        folder = tmp_path / "photos" / str(i % 2)
        folder.mkdir(parents=True, exist_ok=True)
        make_noise(60, 50, seed=i).save(folder / f"{i}.jpg")
    return tmp_path / "photos"


def test_graph_has_8_bits(bundle: Path, tmp_path: Path) -> None:
    twin = quantize_bundle(read_bundle(bundle), tmp_path / "int8", None, self_test=False)
    graph = onnx.load(twin.path / ONNX_GRAPH)
    weights = [w for w in graph.graph.initializer if w.data_type == onnx.TensorProto.INT8]
    convolutions = [node for node in graph.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 27
    assert len(weights) >= len(convolutions)
    assert (twin.path / ONNX_GRAPH).stat().st_size < (bundle / ONNX_GRAPH).stat().st_size / 2


def test_logits_of_a_trained_network_stay_near(photos: Path, tmp_path: Path) -> None:
    name = "mobilenet_v1_0.25_small"
    start = read_start(Path(f"models/weights/{name}.safetensors"))
    network = build_network(name, len(start.classes))
    assert start.begin(network, name, start.classes)
    source = Source(network, start.classes, evaluation_preprocessing(64), training={"data": "tiny"})
    whole = export_bundle(source, tmp_path / "float", ExportOptions(parity_inputs=2))
    twin = quantize_bundle(whole, tmp_path / "int8", photos)
    images = read_photos(photos, whole.manifest)
    before, after = (load_engine(b, "onnx").predict(images) for b in (whole, twin))
    assert not np.array_equal(before, after)
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.98


def test_levels_of_the_old_logits_are_left_out(trained: Path, photos: Path, tmp_path: Path) -> None:
    bundle = read_bundle(trained)
    node, parents = Node("thing", "a thing", ()), (("thing",),) * 5
    hierarchy = Hierarchy((node,), parents, (Level(0.9, 1.0),), 10)
    files = {name: trained / name for name in bundle.manifest.files}
    hedged = write_bundle(tmp_path / "hedged", replace(bundle.manifest, hierarchy=hierarchy), files)
    twin = quantize_bundle(hedged, tmp_path / "int8", photos)
    assert hedged.manifest.hierarchy == hierarchy
    assert twin.manifest.hierarchy is None


def test_manifest_says_what_the_ranges_are_from(bundle: Path, tmp_path: Path) -> None:
    manifest = quantize_bundle(
        read_bundle(bundle), tmp_path / "int8", None, self_test=False
    ).manifest
    assert manifest.name == "mobilenet_v1_0.25_small_int8"
    assert manifest.quantization is not None
    calibration = manifest.quantization["calibration"]
    assert calibration == {"source": "noise", "images": 16, "range": "minimum and maximum"}
    assert manifest.quantization["change"]["inputs"] == 16
    assert manifest.quantization["quantizer"].startswith("onnxruntime ")


def test_accuracy_of_the_float_network_is_not_claimed(
    trained: Path, photos: Path, tmp_path: Path
) -> None:
    manifest = quantize_bundle(read_bundle(trained), tmp_path / "int8", photos).manifest
    assert manifest.training == {"data": "photos", "quantized_from": "mobilenet_v1_0.25_small"}
    assert manifest.quantization is not None
    assert manifest.quantization["calibration"]["source"] == "photos"
    assert manifest.quantization["calibration"]["images"] == 4


def test_photos_are_read_from_all_folders(bundle: Path, photos: Path) -> None:
    for name in ("notes.txt", "Thumbs.db", "._0.jpg"):  # macOS keeps this one beside 0.jpg
        (photos / "0" / name).write_text("no photo")
    images = read_photos(photos, read_bundle(bundle).manifest)
    assert images.shape == (4, 3, 32, 32)
    assert images.dtype == np.float32


def test_photos_are_read_from_packs_too(bundle: Path, photos: Path, tmp_path: Path) -> None:
    manifest = read_bundle(bundle).manifest
    write_packs(read_folder(photos), tmp_path / "packs", "train", 2)
    expected = read_photos(photos, manifest)
    assert np.array_equal(read_photos(tmp_path / "packs", manifest), expected)
    twin = quantize_bundle(read_bundle(bundle), tmp_path / "int8", tmp_path / "packs")
    assert twin.manifest.quantization is not None
    assert twin.manifest.quantization["calibration"]["images"] == 4
