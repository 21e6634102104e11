"""runtime.manifest: every key and value is checked, and none can change unseen."""

import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import Bundle, Manifest, errors, read_bundle
from runtime.bundle import WEIGHTS
from runtime.canonical_json import canonical
from runtime.kernels import library
from runtime.manifest import (
    FLOAT_ORDER,
    FORMAT,
    KNOWN_FORMAT,
    MANIFEST,
    NEWEST_FORMAT,
    read_manifest,
)
from tests.runtime.manifests import (
    as_format_1,
    as_format_2,
    edit,
    make_hierarchy_manifest,
    make_known_manifest,
    make_manifest,
    write_example,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "manifest_format3.json"
GOLDEN_4 = GOLDEN.with_name("manifest_format4.json")
GOLDEN_5 = GOLDEN.with_name("manifest_format5.json")
GOLDEN_2 = GOLDEN.with_name("manifest_format2.json")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_example(tmp_path)


def test_what_is_written_is_read(bundle: Bundle) -> None:
    manifest = read_manifest(bundle.path / MANIFEST)
    assert replace(manifest, files={}) == make_manifest()
    assert (manifest.classes, manifest.logits) == (2, 2)
    assert manifest.format == FORMAT == 3


def test_text_is_byte_by_byte_that_of_the_format(bundle: Bundle) -> None:
    """Keys, their order, the spelling of values and the digest are the format: a reader of today
    must read what a writer of tomorrow calls format 3.
    """
    assert (bundle.path / MANIFEST).read_bytes() == GOLDEN.read_bytes()
    assert read_manifest(GOLDEN) == bundle.manifest


def test_number_of_the_float_order_is_the_librarys() -> None:
    assert library.float_order() == FLOAT_ORDER


def test_quantization_may_be_absent(tmp_path: Path) -> None:
    bundle = write_example(tmp_path, replace(make_manifest(), quantization=None))
    assert "quantization" not in json.loads((bundle.path / MANIFEST).read_text())
    assert bundle.manifest.quantization is None


# ---- formats ----


def test_format_1_is_read_without_digest(bundle: Bundle) -> None:
    edit(bundle, as_format_1)
    manifest = read_bundle(bundle.path).manifest
    assert (manifest.format, manifest.float_order) == (1, None)
    full_size = replace(make_manifest().preprocessing, reduce=None)
    older = replace(make_manifest(), format=1, float_order=None, reduction=None)
    expected = replace(older, preprocessing=full_size)
    assert replace(manifest, files={}) == expected
    edit(bundle, lambda m: (m.pop("temperature"), m.pop("quantization")))  # its first manifests
    manifest = read_bundle(bundle.path).manifest
    assert (manifest.temperature, manifest.quantization) == (1, None)
    edit(bundle, lambda m: m.update(quantization=None))
    assert read_bundle(bundle.path).manifest.quantization is None


def test_format_2_is_read_and_decodes_at_full_size(bundle: Bundle) -> None:
    edit(bundle, as_format_2)
    content = read_manifest(bundle.path / MANIFEST)
    assert content == read_manifest(GOLDEN_2)
    assert (content.format, content.preprocessing.reduce) == (2, None)


@pytest.mark.parametrize("reduce", [None, 1.0, 2.0])
def test_reduce_is_of_format_3(tmp_path: Path, reduce: float | None) -> None:
    manifest = make_manifest()
    spec = replace(manifest.preprocessing, reduce=reduce)
    bundle = write_example(tmp_path, replace(manifest, preprocessing=spec))
    assert read_bundle(bundle.path).manifest.preprocessing.reduce == reduce
    edit(bundle, lambda m: (m.update(format=2), m.pop("reduction")))
    with pytest.raises(errors.InvalidManifest, match=r"unknown key 'preprocessing\.reduce'"):
        read_bundle(bundle.path)


def test_format_3_needs_reduce(bundle: Bundle) -> None:
    edit(bundle, lambda m: m["preprocessing"].pop("reduce"))
    with pytest.raises(errors.InvalidManifest, match="no 'reduce'"):
        read_bundle(bundle.path)


@pytest.fixture
def knowing(tmp_path: Path) -> Bundle:
    """Of a network whose last logit is no label's."""
    return write_example(tmp_path, make_known_manifest())


def test_what_knows_none_of_these_has_format_4_and_says_so_byte_by_byte(knowing: Bundle) -> None:
    manifest = read_manifest(knowing.path / MANIFEST)
    assert replace(manifest, files={}) == make_known_manifest()
    assert (manifest.classes, manifest.logits, manifest.format) == (1, 2, KNOWN_FORMAT)
    assert (knowing.path / MANIFEST).read_bytes() == GOLDEN_4.read_bytes()
    edit(knowing, lambda m: m.update(known={**m["known"], "slope": 1, "offset": 0}))
    known = read_bundle(knowing.path).manifest.known
    assert known is not None
    assert [type(value) for value in (known.slope, known.offset)] == [float, float]


def test_known_may_be_absent_in_format_4(knowing: Bundle) -> None:
    for change in (lambda m: m.update(known=None), lambda m: m.pop("known")):
        edit(knowing, change)
        edit(knowing, lambda m: m.update(labels=["ant", "bee"]))
        manifest = read_bundle(knowing.path).manifest
        assert (manifest.known, manifest.logits) == (None, 2)


@pytest.mark.parametrize("format_", [1, 2, 3])
def test_known_is_of_format_4(knowing: Bundle, format_: int) -> None:
    edit(knowing, lambda m: m.update(format=format_))
    if format_ < 3:
        edit(knowing, {1: as_format_1, 2: as_format_2}[format_])
    with pytest.raises(errors.InvalidManifest, match="unknown key 'known'"):
        read_bundle(knowing.path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.update(known=[]), "where an object is expected"),
        (lambda m: m.update(known={}), "no 'source'"),
        (lambda m: m["known"].pop("threshold"), "no 'threshold'"),
        (lambda m: m["known"].update(temperature=1), "unknown key 'temperature'"),
        (lambda m: m["known"].update(source="odin"), r"known\.source: expected one of other"),
        (lambda m: m["known"].update(source=["other"]), r"known\.source"),
        (lambda m: m["known"].update(source="energy"), "to .1. as input and labels say"),
        (lambda m: m.update(labels=["ant", "bee"]), "to .3. as input and labels say"),
        (lambda m: m["known"].update(slope=0), r"known\.slope: expected a number above 0"),
        (lambda m: m["known"].update(slope=-1.5), r"known\.slope"),
        (lambda m: m["known"].update(slope=10**7), r"known\.slope"),
        (lambda m: m["known"].update(slope=True), r"known\.slope"),
        (lambda m: m["known"].update(slope=None), r"known\.slope"),
        (lambda m: m["known"].update(slope=float("nan")), "expected"),
        (lambda m: m["known"].update(offset="0"), r"known\.offset"),
        (lambda m: m["known"].update(offset=-(10**7)), r"known\.offset"),
        (lambda m: m["known"].update(threshold=0), r"known\.threshold: .*between 0 and 1"),
        (lambda m: m["known"].update(threshold=1), r"known\.threshold"),
        (lambda m: m["known"].update(measured=0), "where an object is expected"),
        (lambda m: m["known"]["measured"].pop("sha256"), "no 'sha256'"),
        (lambda m: m["known"]["measured"].update(auroc=1), "unknown key 'auroc'"),
        (lambda m: m["known"]["measured"].update(auroc_far=1.5), r"measured\.auroc_far"),
        (lambda m: m["known"]["measured"].update(auroc_far=None), r"measured\.auroc_far"),
        (lambda m: m["known"]["measured"].update(images_far=-1), r"measured\.images_far"),
        (lambda m: m["known"]["measured"].update(images_far=True), r"measured\.images_far"),
        (lambda m: m["known"]["measured"].update(data="a\nb"), r"measured\.data"),
    ],
)
def test_wrong_known_is_refused_by_name(
    knowing: Bundle, change: Callable[[dict[str, Any]], Any], says: str
) -> None:
    edit(knowing, change)
    with pytest.raises(errors.InvalidManifest, match=says):
        read_bundle(knowing.path)


def test_what_has_a_hierarchy_has_format_5_and_says_so_byte_by_byte(tmp_path: Path) -> None:
    made = write_example(tmp_path, make_hierarchy_manifest())
    manifest = read_manifest(made.path / MANIFEST)
    assert replace(manifest, files={}) == make_hierarchy_manifest()
    assert manifest.format == NEWEST_FORMAT
    assert (made.path / MANIFEST).read_bytes() == GOLDEN_5.read_bytes()
    edit(made, lambda m: m["hierarchy"]["levels"][0].update({"lambda": 0}))
    hierarchy = read_bundle(made.path).manifest.hierarchy
    assert hierarchy is not None
    assert type(hierarchy.levels[0].bonus) is float
    for change in (lambda m: m.update(hierarchy=None), lambda m: m.pop("hierarchy")):
        edit(made, change)
        assert read_bundle(made.path).manifest.hierarchy is None


@pytest.mark.parametrize("format_", [1, 2, 3, 4])
def test_a_hierarchy_is_of_format_5(tmp_path: Path, format_: int) -> None:
    made = write_example(tmp_path, make_hierarchy_manifest())
    edit(made, lambda m: m.update(format=format_))
    if format_ < 3:
        edit(made, {1: as_format_1, 2: as_format_2}[format_])
    with pytest.raises(errors.InvalidManifest, match="unknown key 'hierarchy'"):
        read_bundle(made.path)


@pytest.mark.parametrize("number", [0, -1, NEWEST_FORMAT + 1, 10**30])
def test_other_formats_are_refused(bundle: Bundle, number: int) -> None:
    edit(bundle, lambda m: m.update(format=number))
    with pytest.raises(
        errors.UnsupportedFormat, match=f"says format {number}; this build reads 1, 2, 3, 4 and 5"
    ):
        read_bundle(bundle.path)


@pytest.mark.parametrize("key", ["temperature", "float_order", "digest", "plan", "format"])
def test_missing_keys_are_named(bundle: Bundle, key: str) -> None:
    edit(bundle, lambda m: m.pop(key), seal=False)
    with pytest.raises(errors.InvalidManifest, match=f"{key}"):
        read_bundle(bundle.path)


LEVELS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "manifest": lambda m: m,
    "input": lambda m: m["input"],
    "preprocessing": lambda m: m["preprocessing"],
    "file": lambda m: m["files"]["packed.safetensors"],
    "stem": lambda m: m["plan"][0],
    "convolution": lambda m: m["plan"][0]["convolutions"][0],
    "stage": lambda m: m["plan"][1],
    "transition": lambda m: m["plan"][2],
    "pool": lambda m: m["plan"][2]["pool"],
    "head": lambda m: m["plan"][3],
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("format_", [1, 2, 3])
def test_unknown_keys_are_refused_by_name(bundle: Bundle, level: str, format_: int) -> None:
    edit(bundle, lambda m: LEVELS[level](m).update(temperbture=1.5))
    if format_ < FORMAT:
        edit(bundle, {1: as_format_1, 2: as_format_2}[format_])
    with pytest.raises(errors.InvalidManifest, match="temperbture"):
        read_bundle(bundle.path)


@pytest.mark.parametrize("key", ["float_order", "digest"])
def test_keys_of_a_later_format_are_unknown_to_an_earlier_one(bundle: Bundle, key: str) -> None:
    edit(bundle, as_format_1)
    edit(bundle, lambda m: m.update({key: 1}), seal=False)
    with pytest.raises(errors.InvalidManifest, match=f"format 1, found the unknown key '{key}'"):
        read_bundle(bundle.path)


@pytest.mark.parametrize(
    "record", ["architecture", "training", "parity", "quantization", "reduction", "created"]
)
def test_free_records_may_have_any_key(bundle: Bundle, record: str) -> None:
    edit(bundle, lambda m: m[record].update({"ü": [1, {"a": None}]}))
    assert getattr(read_bundle(bundle.path).manifest, record)["ü"] == [1, {"a": None}]


# ---- the digest ----


def test_spelling_is_free(bundle: Bundle) -> None:
    """Another order of keys, other white space, other escapes: the same values."""
    path = bundle.path / MANIFEST
    content = json.loads(path.read_text())
    content = dict(reversed(content.items()))
    path.write_text(json.dumps(content, indent=7, ensure_ascii=False), "utf-8")
    assert read_bundle(bundle.path) == bundle


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["preprocessing"].update(mean=[523.68, 2.5, 3e-7]),
        lambda m: m.update(temperature=1.25),
        lambda m: m["labels"].reverse(),
        lambda m: m["plan"][0]["convolutions"][0].update(relu=False),
        lambda m: m["plan"][1].update(padding=1),
        lambda m: m.update(float_order=FLOAT_ORDER + 1),
        lambda m: m["architecture"].update(blocks=[2]),
        lambda m: m["parity"]["onnx"].update(max_abs_logit_difference=1e9),
        lambda m: m.update(training=None, trained=False),
        lambda m: m.update(digest="0" * 64),
        lambda m: m.update(digest=None),
        lambda m: m.update(digest=["a"] * 99),
    ],
)
def test_changed_values_are_refused(
    bundle: Bundle, change: Callable[[dict[str, Any]], Any]
) -> None:
    edit(bundle, change, seal=False)
    with pytest.raises(errors.ChecksumMismatch, match="they were changed after the export"):
        read_bundle(bundle.path)


def test_key_said_twice_is_refused(bundle: Bundle) -> None:
    """Readers differ in which one they take."""
    path = bundle.path / MANIFEST
    text = path.read_text().replace('"temperature": 1.5', '"temperature": 9, "temperature": 1.5')
    path.write_text(text)
    with pytest.raises(errors.InvalidManifest, match="the key 'temperature' twice"):
        read_bundle(bundle.path)


MANIFESTS = [make_manifest(), make_known_manifest(), make_hierarchy_manifest()]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a JSON value with every one of its keys or indices."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    inner = [value[key] for key in keys if isinstance(value[key], dict | list)]
    return [(value, key) for key in keys] + [place for item in inner for place in _places(item)]


@given(data=st.data(), seal=st.booleans(), manifest=st.sampled_from(MANIFESTS))
def test_any_value_anywhere_is_refused_by_name_or_sealed(
    data: st.DataObject, seal: bool, manifest: Manifest
) -> None:
    """Nothing but a BundleError comes out, whatever stands in place of a value; and whatever has
    changed is refused unless the digest was made anew.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = write_example(Path(folder), manifest)
        before = json.loads((made.path / MANIFEST).read_text())

        def change(content: dict[str, Any]) -> None:
            places = _places(content)
            container, key = places[data.draw(st.integers(0, len(places) - 1))]
            container[key] = data.draw(JSON)

        edit(made, change, seal)
        try:
            read_bundle(made.path)
        except errors.BundleError:
            return
        after = json.loads((made.path / MANIFEST).read_text())
        assert seal or canonical(after) == canonical(before)


# ---- values ----


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
        lambda m: m.update(plan=[3]),
        lambda m: m.update(float_order=None),
        lambda m: m.update(float_order=-1),
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
        lambda m: m.update(labels=["", "c"]),
        lambda m: m.update(name="x\x1b[31m"),
        lambda m: m.update(name=5),
        lambda m: m.update(name=""),
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
        lambda m: m["preprocessing"].update(crop=4),  # the input is 8 x 8
        lambda m: m.update(trained=False),  # with a record of its training
        lambda m: m.update(training=None),  # trained, without one
    ],
)
def test_invalid_values(bundle: Bundle, change: Callable[[dict[str, Any]], Any]) -> None:
    edit(bundle, change)
    with pytest.raises(errors.InvalidManifest, match=re.escape(str(bundle.path / MANIFEST))):
        read_bundle(bundle.path)
