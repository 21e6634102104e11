"""What the tests of models share: one thread; for networks this small a second one only waits."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.export.__main__ import main as export
from runtime import read_bundle
from runtime.bundle import write_bundle
from tests.models.recorded_runs import write_runs
from tests.runtime.images import make_noise

BIRD_AND_CAT = ("bird", "cat")


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Folders of finished runs of every kind, and latencies."""
    return write_runs(tmp_path / "runs")


@pytest.fixture(scope="session")
def full_size_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network of 32 pixels that knows two classes and decodes at full size."""
    out = tmp_path_factory.mktemp("full-size") / "bundle"
    arguments = ["--num-classes", "2", "--image-size", "32", "--out", str(out)]
    assert export(["meliusnet13", *arguments]) == 0
    manifest = read_bundle(out).manifest
    assert manifest.preprocessing.reduce == 2
    spec = replace(manifest.preprocessing, reduce=None)
    manifest = replace(manifest, preprocessing=spec, labels=BIRD_AND_CAT)
    return write_bundle(out, manifest, {name: out / name for name in manifest.files}).path


@pytest.fixture
def mixed_photos(tmp_path: Path) -> Path:
    """Twelve images of the bundle's classes, half of them so large that they are reduced."""
    for i in range(12):
        folder = tmp_path / "photos" / "test" / BIRD_AND_CAT[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        side = 40 if i < 6 else 200
        make_noise(side + i, side, seed=i).save(folder / f"{i}.jpg", quality=90)
    return tmp_path / "photos"
