"""runtime.needs: estimates of the memory that a model takes, by its manifest."""

from dataclasses import replace
from pathlib import Path

import pytest

from runtime import estimate_kept_bytes, estimate_load_bytes, load_engine, read_bundle
from runtime.manifest import FileEntry

DEFAULT = Path(__file__).parents[2] / "service" / "bundles"
MIB = 2**20


def test_packed_bits_take_a_few_times_their_bytes() -> None:
    manifest = read_bundle(DEFAULT / "default").manifest
    size = manifest.files["packed.safetensors"].bytes
    for engine in ("auto", "native", "torchscript"):
        assert estimate_load_bytes(manifest, engine) == 3 * size + 24 * MIB


def test_onnx_runtime_unpacks_them() -> None:
    manifest = read_bundle(DEFAULT / "default").manifest
    assert estimate_load_bytes(manifest, "onnx") > 2 * estimate_load_bytes(manifest, "native")


@pytest.mark.parametrize("engine", ["auto", "onnx"])
def test_a_graph_of_floats(engine: str) -> None:
    manifest = read_bundle(DEFAULT / "mobilenet_v1").manifest
    size = manifest.files["model.onnx"].bytes
    assert estimate_load_bytes(manifest, engine) == 5 * size + 32 * MIB


def test_more_bytes_take_more() -> None:
    manifest = read_bundle(DEFAULT / "default").manifest
    entry = manifest.files["packed.safetensors"]
    larger = replace(
        manifest, files={**manifest.files, "packed.safetensors": FileEntry(entry.sha256, 2**30)}
    )
    assert estimate_load_bytes(larger, "native") > 3 * 2**30


def test_what_stays_is_less_than_what_loading_takes() -> None:
    engine = load_engine(DEFAULT / "default", "native")
    manifest = engine.bundle.manifest
    kept = estimate_kept_bytes(manifest, "native", engine.workspace_bytes)
    assert kept >= engine.model_bytes + engine.workspace_bytes
    assert kept < estimate_load_bytes(manifest, "native")
