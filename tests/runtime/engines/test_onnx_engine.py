"""runtime.engines.onnx_engine: refusals, threads, what it reads."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.export.__main__ import main as export
from models.tflite.convert import import_tflite
from runtime import EngineUnavailable, read_bundle
from runtime.bundle import ONNX_GRAPH, WEIGHTS, Bundle, write_bundle
from runtime.engines.onnx_engine import OnnxEngine
from runtime.errors import ChecksumMismatch, InvalidManifest
from tests.emulation import NO_VNNI, run_python
from tests.models.tflite_files import LABELS, make_file


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("onnx") / "bundle"
    assert (
        export(["meliusnet13", "--num-classes", "3", "--image-size", "16", "--out", str(out)]) == 0
    )
    return read_bundle(out)


def test_model_bytes_count_graph_and_weights(bundle: Bundle) -> None:
    files = bundle.manifest.files
    assert OnnxEngine(bundle).model_bytes == files[ONNX_GRAPH].bytes + files[WEIGHTS].bytes


def test_threads_do_not_change_the_answer(bundle: Bundle) -> None:
    images = np.ones((2, 3, 16, 16), np.float32)
    one, two = (OnnxEngine(bundle, threads).predict(images) for threads in (1, 2))
    assert np.allclose(one, two, atol=1e-5)


def test_missing_package_is_explained(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineUnavailable, match="expected the package onnxruntime") as caught:
        OnnxEngine(bundle)
    assert not caught.value.installed


@pytest.mark.parametrize(
    "change", [{"labels": ("a", "b")}, {"input": (3, 32, 32)}], ids=["labels", "input"]
)
def test_graph_for_another_manifest_is_refused(bundle: Bundle, change: dict[str, Any]) -> None:
    other = Bundle(bundle.path, replace(bundle.manifest, **change))
    with pytest.raises(InvalidManifest, match="expected a graph from"):
        OnnxEngine(other)


@pytest.mark.parametrize("name", [ONNX_GRAPH, WEIGHTS])
def test_files_changed_after_the_bundle_was_read_are_refused(
    bundle: Bundle, tmp_path: Path, name: str
) -> None:
    """ONNX Runtime opens the weights by itself, as the graph says: nobody else looks at them."""
    changing = read_bundle(shutil.copytree(bundle.path, tmp_path / "bundle"))
    content = bytearray((changing.path / name).read_bytes())
    content[-9] ^= 4
    (changing.path / name).write_bytes(content)
    with pytest.raises(ChecksumMismatch, match=name):
        OnnxEngine(changing)


def test_graph_that_is_none_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "graph").write_bytes(b"no graph")
    files = {ONNX_GRAPH: tmp_path / "graph", WEIGHTS: bundle.path / WEIGHTS}
    broken = write_bundle(tmp_path / "bundle", bundle.manifest, files)
    with pytest.raises(EngineUnavailable, match="refuses the graph"):
        OnnxEngine(broken)


@pytest.mark.qemu
def test_int8_network_is_exact_on_cpus_whose_products_saturate(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    """Its weights span all of int8: products of 16 bits would change most answers."""
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    file = make_file(rng).write(tmp_path / "net.tflite")
    _, int8 = import_tflite([file], tmp_path / "out", tmp_path / "labels.txt")
    images = rng.integers(-128, 128, (16, *int8.manifest.input)).astype(np.float32) / 128
    np.save(tmp_path / "images.npy", images)
    program = (
        "import numpy\n"
        "from runtime import load_engine; from runtime.engines import onnx_sessions\n"
        f"engine = load_engine({str(int8.path)!r}, 'onnx')\n"
        f"logits = engine.predict(numpy.load({str(tmp_path / 'images.npy')!r}))\n"
        f"numpy.save({str(tmp_path / 'logits.npy')!r}, logits)\n"
        "print(onnx_sessions.saturates())\n"
    )
    assert run_python(NO_VNNI, program) == "True\n"
    assert np.array_equal(np.load(tmp_path / "logits.npy"), OnnxEngine(int8).predict(images))
