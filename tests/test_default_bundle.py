"""The default model: what it answers on photos that nobody trained on."""

import csv
from pathlib import Path

import numpy as np
import pytest

from runtime import ENGINES, decode_image, load_engine, preprocess

BUNDLE = Path(__file__).resolve().parents[1] / "service" / "bundles" / "default"
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


@pytest.mark.parametrize("engine", ENGINES)
def test_photos_are_recognised(photos: Path, engine: str) -> None:
    loaded = load_engine(BUNDLE, engine)
    manifest = loaded.bundle.manifest
    assert set(KINDS.values()) <= set(manifest.labels)
    pictures = [decode_image((photos / f"{name}.jpg").read_bytes()) for name in KINDS]
    logits = loaded.predict(np.stack([preprocess(p, manifest.preprocessing) for p in pictures]))
    answers = {
        name: manifest.labels[best] for name, best in zip(KINDS, logits.argmax(1), strict=True)
    }
    assert answers == KINDS


def test_all_right_is_one_more_than_the_test_pictures_let_expect() -> None:
    """models/runs/NOTES.md says so."""
    run = BUNDLE.parents[2] / "models" / "runs" / "meliusnet13-everyday-photos-160"
    with (run / "confusion.csv").open(newline="", encoding="utf-8") as stream:
        (_, *labels), *rows = csv.reader(stream)
    counts = {name: [int(cell) for cell in cells] for name, *cells in rows}
    shares = {name: row[labels.index(name)] / sum(row) for name, row in counts.items()}
    expected = sum(shares[kind] for kind in KINDS.values())
    assert round(expected) == len(KINDS) - 1
