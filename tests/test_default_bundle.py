"""The default model: what it answers on photos that nobody trained on."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from runtime import (
    ENGINES,
    Bundle,
    BundleError,
    WrongAnswer,
    decode_image,
    load_engine,
    preprocess,
    read_bundle,
    run_self_test,
)
from runtime.errors import ChecksumMismatch, InvalidManifest
from runtime.manifest import FORMAT, KNOWN_FORMAT, MANIFEST, NEWEST_FORMAT
from tests.runtime.manifests import edit

BUNDLES = Path(__file__).resolve().parents[1] / "service" / "bundles"
BUNDLE = BUNDLES / "default"
CONFIG_MAP = 2**20  # bytes that a ConfigMap may hold, all files together
#: photo -> the kind of thing on it
KINDS = {
    "bird": "bird",
    "cat": "cat",
    "dragonfly": "insect",
    "hot_dog": "food",
    "owl": "bird",
    "parrot": "bird",
    "pets": "dog",
    "sunflower": "flower",
}


def test_the_small_bundle_fits_a_config_map() -> None:
    assert sum(file.stat().st_size for file in (BUNDLES / "small").iterdir()) < CONFIG_MAP


@pytest.mark.parametrize("bundle", ["default", "mobilenet_v1"])
def test_the_others_stay_small(bundle: str) -> None:
    assert sum(file.stat().st_size for file in (BUNDLES / bundle).iterdir()) < 2.5e6


@pytest.mark.parametrize("bundle", ["default", "small", "mobilenet_v1"])
def test_every_engine_passes_the_self_test(bundle: str) -> None:
    manifest = read_bundle(BUNDLES / bundle).manifest
    of_known = KNOWN_FORMAT if manifest.known else FORMAT
    assert manifest.format == (NEWEST_FORMAT if manifest.hierarchy else of_known)
    for name in ENGINES if manifest.plan else ["onnx"]:
        verdict = run_self_test(load_engine(BUNDLES / bundle, name)).verdict
        assert verdict in (["exact", "within bound"] if name == "onnx" else ["exact"])


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("123.68,", "523.68,", ChecksumMismatch),
        ('"temperature"', '"temperbture"', InvalidManifest),
        ('"temperature": 0.8434', '"temperature": 1.8434', ChecksumMismatch),
        ('"bird",', '"boat",', ChecksumMismatch),
        ('"relu": true', '"relu": false', ChecksumMismatch),
    ],
)
def test_edited_manifest_is_refused(
    tmp_path: Path, old: str, new: str, error: type[BundleError]
) -> None:
    copy = Path(shutil.copytree(BUNDLES / "small", tmp_path / "copy"))
    text = (copy / MANIFEST).read_text()
    assert old in text
    (copy / MANIFEST).write_text(text.replace(old, new, 1))
    with pytest.raises(error):
        read_bundle(copy)


def test_padding_that_keeps_the_shapes_is_noticed_even_with_a_forged_digest(
    tmp_path: Path,
) -> None:
    """The pool behind the stem makes 40 of 79 rows as of 80: no shape tells."""

    def change(content: dict[str, Any]) -> None:
        content["plan"][0]["convolutions"][1]["padding"] = [1, 0]

    small = BUNDLES / "small"
    copy = Bundle(Path(shutil.copytree(small, tmp_path / "copy")), read_bundle(small).manifest)
    edit(copy, change, seal=False)
    with pytest.raises(ChecksumMismatch):
        read_bundle(copy.path)
    edit(copy, change)
    for name in ("torchscript", "native"):
        with pytest.raises(WrongAnswer):
            load_engine(copy.path, name)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("bundle", "right"), [("small", 8), ("default", 6)])
def test_photos_are_recognised(photos: Path, bundle: str, right: int, engine: str) -> None:
    loaded = load_engine(BUNDLES / bundle, engine)
    manifest = loaded.bundle.manifest
    assert set(KINDS.values()) <= set(manifest.labels)
    images = [decode_image((photos / f"{name}.jpg").read_bytes()) for name in KINDS]
    logits = loaded.predict(np.stack([preprocess(p, manifest.preprocessing) for p in images]))
    best = logits[:, : len(manifest.labels)].argmax(1)  # without "other"
    answers = {name: manifest.labels[i] for name, i in zip(KINDS, best, strict=True)}
    assert sum(answers[name] == kind for name, kind in KINDS.items()) == right, answers


def test_empty_pages_and_text_show_none_of_the_labels_but_photos_do(photos: Path) -> None:
    engine = load_engine(BUNDLE)
    manifest = engine.bundle.manifest
    assert manifest.known is not None
    page = Image.new("RGB", (300, 300), "white")
    pen = ImageDraw.Draw(page)
    for i in range(24):
        pen.text((10, 10 + 12 * i), "the quick brown fox jumps over the lazy dog", fill="black")
    others = [page, Image.new("RGB", (200, 200), "white")]
    known = [decode_image((photos / f"{name}.jpg").read_bytes()) for name in KINDS]
    inputs = np.stack([preprocess(image, manifest.preprocessing) for image in [*others, *known]])
    shown = [
        manifest.known.estimate(row) >= manifest.known.threshold for row in engine.predict(inputs)
    ]
    assert shown[: len(others)] == [False] * len(others)
    assert sum(shown[len(others) :]) >= len(known) - 1


def test_all_right_is_one_more_than_the_test_images_let_expect() -> None:
    """models/runs/NOTES.md says so."""
    run = BUNDLE.parents[2] / "models" / "runs" / "meliusnet13-everyday-photos-160"
    with (run / "confusion.csv").open(newline="", encoding="utf-8") as stream:
        (_, *labels), *rows = csv.reader(stream)
    counts = {name: [int(cell) for cell in cells] for name, *cells in rows}
    shares = {name: row[labels.index(name)] / sum(row) for name, row in counts.items()}
    expected = sum(shares[kind] for kind in KINDS.values())
    assert round(expected) == len(KINDS) - 1
