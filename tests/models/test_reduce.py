"""models.reduce: a bundle that decodes at reduced scale."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from models.export.__main__ import main as export
from models.reduce import main
from runtime import read_bundle
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


def test_new_bundle_differs_in_its_manifest_alone(
    bundle: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new"
    assert main([str(bundle), "--data", str(photos), "--out", str(out), "--factor", "1.5"]) == 0
    old, new = read_bundle(bundle).manifest, read_bundle(out).manifest
    assert new.preprocessing == replace(old.preprocessing, reduce=1.5)
    assert new.reduction == json.loads(capsys.readouterr().out.splitlines()[0])
    assert new.reduction is not None
    assert new.reduction["data"] == "photos"
    rest = replace(new, preprocessing=old.preprocessing, reduction=None)
    assert rest == old
    for name in old.files:
        assert (out / name).read_bytes() == (bundle / name).read_bytes()


def test_mistakes_are_explained(
    bundle: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(bundle), "--data", str(photos), "--out", str(tmp_path / "new"), "--quiet"]
    assert main([*arguments, "--factor", "0.5"]) == 2
    assert "preprocessing.reduce: expected a number from 1 to 16" in capsys.readouterr().err
    assert main([str(bundle), "--data", str(tmp_path), "--out", str(tmp_path / "new")]) == 2
    assert "models.reduce:" in capsys.readouterr().err
    (photos / "test" / "cat" / "bad.jpg").write_bytes(b"no image")
    assert main(arguments) == 2
    assert "bad.jpg" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
