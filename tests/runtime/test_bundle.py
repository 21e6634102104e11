"""runtime.bundle: what is written is read back; each way to be wrong has its own error."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from runtime import Preprocessing, errors, read_bundle
from runtime.bundle import (
    MANIFEST,
    MAX_HEADER_BYTES,
    WEIGHTS,
    Bundle,
    Manifest,
    read_tensors,
    write_bundle,
)

TENSORS = {
    "stem.conv0.bias": np.arange(3, dtype=np.float32),
    "stage1.layer0.flip": np.array([1, 2**32 - 1], np.uint32),
    "stem.conv1.weight": np.array([-127, 0, 127], np.int8),
    "empty": np.zeros((0, 4), np.float32),
}
MANIFEST_OF_TEST = Manifest(
    name="test",
    architecture={"blocks": [1]},
    input=(3, 8, 8),
    preprocessing=Preprocessing(9, 8, "bilinear", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)),
    labels=("ant", "bee"),
    plan=({"name": "stem"},),
    files={},
    trained=True,
    training={"data": "none"},
    parity={"onnx": {"inputs": 1}},
    created={"python": "3"},
    temperature=1.5,
)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    save_file(TENSORS, tmp_path / "weights")
    return write_bundle(tmp_path / "bundle", MANIFEST_OF_TEST, {WEIGHTS: tmp_path / "weights"})


def test_what_is_written_is_read(bundle: Bundle) -> None:
    again = read_bundle(bundle.path)
    assert again == bundle
    assert replace(again.manifest, files={}) == MANIFEST_OF_TEST
    assert again.manifest.classes == 2


def test_quantization_is_optional(bundle: Bundle) -> None:
    """Older bundles lack it."""
    assert "quantization" not in json.loads((bundle.path / MANIFEST).read_text())
    manifest = replace(MANIFEST_OF_TEST, quantization={"float_parts": "int8"})
    again = write_bundle(bundle.path, manifest, {WEIGHTS: bundle.path / WEIGHTS})
    assert read_bundle(again.path).manifest.quantization == {"float_parts": "int8"}


def test_tensors_equal_those_of_the_safetensors_package(bundle: Bundle) -> None:
    found = bundle.tensors()
    expected = load_file(bundle.path / WEIGHTS)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert np.array_equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype
        assert not found[name].flags.writeable


def test_manifest_text_is_stable(bundle: Bundle) -> None:
    """The keys, their order and spelling are the format."""
    content = json.loads((bundle.path / MANIFEST).read_text())
    assert list(content) == [
        "format", "name", "trained", "architecture", "input", "preprocessing", "labels",
        "temperature", "training", "parity", "files", "created", "plan",
    ]  # fmt: skip
    assert content["input"] == {"shape": [3, 8, 8], "dtype": "float32"}
    assert content["preprocessing"]["channel_order"] == "RGB"


def test_a_bundle_without_a_temperature_has_1(bundle: Bundle) -> None:
    edit(bundle, lambda m: m.pop("temperature"))
    assert read_bundle(bundle.path).manifest.temperature == 1


def test_writing_replaces_a_bundle_and_nothing_else(bundle: Bundle, tmp_path: Path) -> None:
    files = {WEIGHTS: tmp_path / "weights"}
    second = write_bundle(bundle.path, replace(MANIFEST_OF_TEST, name="second"), files)
    assert read_bundle(bundle.path).manifest.name == second.manifest.name == "second"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "weights"]
    for name in ("cat.jpg", "manifest.json"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text('{"format": 1, "name": "my web app"}')
        with pytest.raises(FileExistsError, match=f"other files there: {name}"):
            write_bundle(folder, MANIFEST_OF_TEST, files)
        assert (folder / name).exists()
    (bundle.path / "notes.txt").touch()
    with pytest.raises(FileExistsError, match=r"other files there: notes\.txt"):
        write_bundle(bundle.path, MANIFEST_OF_TEST, files)
    assert (bundle.path / "notes.txt").exists()
    with pytest.raises(FileExistsError, match="other files there: weights"):
        write_bundle(tmp_path / "weights", MANIFEST_OF_TEST, files)


def test_file_not_listed_is_missing(bundle: Bundle) -> None:
    with pytest.raises(errors.MissingFile, match=r"lists no model\.ts"):
        bundle.file("model.ts")


def edit(bundle: Bundle, change: Callable[[dict[str, Any]], Any]) -> None:
    path = bundle.path / MANIFEST
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_no_directory_and_no_manifest(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(errors.MissingFile, match=r"manifest\.json"):
            read_bundle(path)


def test_unknown_format(bundle: Bundle) -> None:
    edit(bundle, lambda m: m.update(format=3))
    with pytest.raises(errors.UnsupportedFormat, match="says format 3; this build reads 1"):
        read_bundle(bundle.path)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": "1"}', b"[" * 100_000]
)
def test_manifest_that_is_no_manifest(bundle: Bundle, text: bytes) -> None:
    (bundle.path / MANIFEST).write_bytes(text)
    with pytest.raises(errors.InvalidManifest):
        read_bundle(bundle.path)


def test_oversized_manifest(bundle: Bundle) -> None:
    with (bundle.path / MANIFEST).open("ab") as file:
        file.write(b" " * (4 * 2**20))
    with pytest.raises(errors.InvalidManifest, match="at most"):
        read_bundle(bundle.path)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("labels"),
        lambda m: m.update(labels=[]),
        lambda m: m.update(labels=[1, 2]),
        lambda m: m.update(plan={}),
        lambda m: m.update(trained="yes"),
        lambda m: m.update(input={"shape": [3, -8, 8]}),
        lambda m: m.update(input={"shape": [1, 8, 8]}),
        lambda m: m.update(files={WEIGHTS: {"sha256": "0", "bytes": True}}),
        lambda m: m.update(files=[]),
        lambda m: m.update(files={WEIGHTS: 1}),
        lambda m: m.update(files={"x" * 5000: {"sha256": "0", "bytes": 1}}),
        lambda m: m.update(labels="abc"),
        lambda m: m.update(labels={"a": 1}),
        lambda m: m.update(labels=["\ud800", "b"]),
        lambda m: m.update(labels=["a\nb", "c"]),
        lambda m: m.update(name="x\x1b[31m"),
        lambda m: m.update(name=5),
        lambda m: m.update(format=True),
        lambda m: m.update(training="well"),
        lambda m: m.update(parity=[]),
        lambda m: m.update(created=float("nan")),
        lambda m: m["input"].update(dtype="uint8"),
        lambda m: m.update(temperature=0),
        lambda m: m.update(temperature=101),
        lambda m: m.update(temperature="warm"),
        lambda m: m.update(temperature=True),
        lambda m: m.update(temperature=None),
        lambda m: m["preprocessing"].update(channel_order="BGR"),
        lambda m: m["preprocessing"].update(mean=[10**400, 0, 0]),
        lambda m: m["preprocessing"].update(crop=10**30),
        lambda m: m["preprocessing"].update(crop=0),
        lambda m: m["preprocessing"].update(interpolation="sharpest"),
        lambda m: m["preprocessing"].update(std=[0, 0, 0]),
    ],
)
def test_invalid_values(bundle: Bundle, change: Callable[[dict[str, Any]], Any]) -> None:
    edit(bundle, change)
    with pytest.raises(errors.InvalidManifest):
        read_bundle(bundle.path)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "a\\b", "..", "", MANIFEST])
def test_path_outside(bundle: Bundle, name: str) -> None:
    edit(bundle, lambda m: m["files"].update({name: {"sha256": "0", "bytes": 1}}))
    with pytest.raises(errors.PathOutsideBundle):
        read_bundle(bundle.path)


def test_link_outside(bundle: Bundle, tmp_path: Path) -> None:
    shutil.move(bundle.path / WEIGHTS, tmp_path / "elsewhere")
    (bundle.path / WEIGHTS).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(errors.PathOutsideBundle, match="links out"):
        read_bundle(bundle.path)


def test_missing_truncated_and_changed_file(bundle: Bundle) -> None:
    path = bundle.path / WEIGHTS
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(errors.TruncatedFile, match=f"expected {len(whole)} bytes"):
        read_bundle(bundle.path)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(errors.ChecksumMismatch, match="expected sha256"):
        read_bundle(bundle.path)
    path.unlink()
    with pytest.raises(errors.MissingFile, match="not there"):
        read_bundle(bundle.path)


def safetensors(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


def entry(dtype: str, shape: Any, offsets: Any) -> bytes:
    return json.dumps({"t": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", errors.TruncatedFile),
        (b"1234", errors.TruncatedFile),
        (safetensors(b"{}", length=2**60), errors.OversizedHeader),
        (safetensors(b"{}", length=MAX_HEADER_BYTES + 1), errors.OversizedHeader),
        (safetensors(b"{}", length=3), errors.TruncatedFile),
        (safetensors(b"{x"), errors.InvalidRecord),
        (safetensors(b"[]"), errors.InvalidRecord),
        (safetensors(b'{"t": 1}'), errors.InvalidRecord),
        (safetensors(entry("F32", [2], [0, 8]), b"1234"), errors.TruncatedFile),
        (safetensors(entry("F32", [2], [0, 4]), b"12345678"), errors.InvalidRecord),
        (safetensors(entry("F32", [2], [1, 9]), b"123456789"), errors.InvalidRecord),
        (safetensors(entry("F32", [-1], [0, 4]), b"1234"), errors.InvalidRecord),
        (safetensors(entry("F32", [2**40, 2**40], [0, 4]), b"1234"), errors.InvalidRecord),
        (safetensors(entry("F32", [1], [4, 0]), b"12345678"), errors.InvalidRecord),
        (safetensors(entry("F32", "4", [0, 4]), b"1234"), errors.InvalidRecord),
        (safetensors(entry("F32", [0, 10**30], [0, 0])), errors.InvalidRecord),
        (safetensors(entry("F32", [0, 2**62, 4], [0, 0])), errors.InvalidRecord),
        (safetensors(entry("F32", [1] * 70, [0, 4]), b"1234"), errors.InvalidRecord),
        (safetensors(entry("I64", [1], [0, 8]), b"12345678"), errors.InvalidRecord),
    ],
)
def test_malformed_weight_files(
    tmp_path: Path, content: bytes, error: type[errors.BundleError]
) -> None:
    (tmp_path / "weights").write_bytes(content)
    with pytest.raises(error):
        read_tensors(tmp_path / "weights")


def test_missing_weight_file(tmp_path: Path) -> None:
    with pytest.raises(errors.MissingFile):
        read_tensors(tmp_path / "weights")


def test_directory_in_place_of_a_file(bundle: Bundle) -> None:
    (bundle.path / WEIGHTS).unlink()
    (bundle.path / WEIGHTS).mkdir()
    with pytest.raises(errors.MissingFile):
        read_bundle(bundle.path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


@given(data=st.data())
def test_any_value_anywhere_in_a_manifest_is_read_or_refused_by_name(data: st.DataObject) -> None:
    """Nothing but a BundleError comes out, whatever stands in place of a value."""
    with tempfile.TemporaryDirectory() as folder:
        save_file(TENSORS, Path(folder) / "weights")
        weights = {WEIGHTS: Path(folder) / "weights"}
        made = write_bundle(Path(folder) / "bundle", MANIFEST_OF_TEST, weights)
        content = json.loads((made.path / MANIFEST).read_text())
        place: Any = content
        key = data.draw(st.sampled_from(sorted(place)))
        while isinstance(place[key], dict) and place[key] and data.draw(st.booleans()):
            place = place[key]
            key = data.draw(st.sampled_from(sorted(place)))
        place[key] = data.draw(JSON)
        (made.path / MANIFEST).write_text(json.dumps(content))
        with contextlib.suppress(errors.BundleError):
            read_bundle(made.path)


@given(header=JSON, tail=st.binary(max_size=40))
def test_any_header_is_read_or_refused_by_name(header: Any, tail: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights"
        path.write_bytes(safetensors(json.dumps({"t": header}).encode(), tail))
        with contextlib.suppress(errors.BundleError):
            read_tensors(path)
