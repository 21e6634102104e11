"""models.evaluation.reduction: a bundle that decodes at reduced scale, and what that changed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.datasets import open_data_set
from models.errors import DataError
from models.evaluation.reduction import measure_reduction
from runtime import ImageReader, load_engine


def test_record_counts_what_changed(full_size_bundle: Path, mixed_photos: Path) -> None:
    engine = load_engine(full_size_bundle, "native")
    files = open_data_set(mixed_photos, None, needs_train=False).test
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


def test_classes_that_the_bundle_lacks_are_refused(full_size_bundle: Path, tmp_path: Path) -> None:
    for name in ("cat", "whale"):
        folder = tmp_path / "test" / name
        folder.mkdir(parents=True)
        Image.new("RGB", (90, 90)).save(folder / f"{name}.png")
    files = open_data_set(tmp_path, None, needs_train=False).test
    assert files is not None
    with pytest.raises(DataError, match="whale"):
        measure_reduction(load_engine(full_size_bundle, "native"), files, 2.0, progress=False)
