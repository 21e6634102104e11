"""models.evaluation.reduction: a bundle that decodes at reduced scale, and what that changed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.datasets import open_data_set
from models.errors import DataError
from models.evaluation.reduction import measure_reduction
from models.export.__main__ import main as export
from runtime import ImageReader, load_engine, read_bundle
from runtime.bundle import write_bundle
from tests.runtime.images import make_noise

CLASSES = ("bird", "cat")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network of 32 pixels that knows two classes and decodes at full size."""
    folder = tmp_path_factory.mktemp("reduce")
    out = folder / "bundle"
    arguments = ["--num-classes", "2", "--image-size", "32", "--out", str(out)]
    assert export(["meliusnet13", *arguments]) == 0
    manifest = read_bundle(out).manifest
    assert manifest.preprocessing.reduce == 2
    spec = replace(manifest.preprocessing, reduce=None)
    manifest = replace(manifest, preprocessing=spec, labels=CLASSES)
    return write_bundle(out, manifest, {name: out / name for name in manifest.files}).path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve images, half of them so large that they are reduced."""
    for i in range(12):
        folder = tmp_path / "photos" / "test" / CLASSES[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        side = 40 if i < 6 else 200
        make_noise(side + i, side, seed=i).save(folder / f"{i}.jpg", quality=90)
    return tmp_path / "photos"


def test_record_counts_what_changed(bundle: Path, photos: Path) -> None:
    engine = load_engine(bundle, "native")
    files = open_data_set(photos, None, needs_train=False).test
    assert files is not None
    record = measure_reduction(engine, files, 1.0, progress=False)
    spec = engine.bundle.manifest.preprocessing
    answers = []
    for reader in (ImageReader(spec), ImageReader(replace(spec, reduce=1.0))):
        tensors = [reader.read_tensor(files.read(i)) for i in range(len(files))]
        answers.append(engine.predict(np.stack(tensors)))
    truth = np.array(files.labels)
    old, new = (logits.argmax(1) for logits in answers)
    assert record["images"] == 12
    assert record["scaled"] == 6
    assert record["top1"] == round(100 * float((old == truth).mean()), 4)
    assert record["top1_reduced"] == round(100 * float((new == truth).mean()), 4)
    assert record["gained"] == int(((new == truth) & (old != truth)).sum())
    assert record["lost"] == int(((new != truth) & (old == truth)).sum())
    assert record["same"] == round(100 * float((old == new).mean()), 4)
    assert record["movement"] > 0
    assert record["deviation"] > 0
    assert record["margin"]["same"] <= record["margin"]["images"] <= 12


def test_classes_that_the_bundle_lacks_are_refused(bundle: Path, tmp_path: Path) -> None:
    for name in ("cat", "whale"):
        folder = tmp_path / "test" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (90, 90)).save(folder / f"{name}.png")
    files = open_data_set(tmp_path, None, needs_train=False).test
    assert files is not None
    with pytest.raises(DataError, match="whale"):
        measure_reduction(load_engine(bundle, "native"), files, 2.0, progress=False)
