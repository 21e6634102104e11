"""models.reduce: a bundle that decodes at reduced scale."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from models.reduce import main
from runtime import read_bundle


def test_new_bundle_differs_in_its_manifest_alone(
    full_size_bundle: Path, mixed_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new"
    arguments = [str(full_size_bundle), "--data", str(mixed_photos), "--out", str(out)]
    assert main([*arguments, "--factor", "1.5"]) == 0
    old, new = read_bundle(full_size_bundle).manifest, read_bundle(out).manifest
    assert new.preprocessing == replace(old.preprocessing, reduce=1.5)
    assert new.reduction == json.loads(capsys.readouterr().out.splitlines()[0])
    assert new.reduction is not None
    assert new.reduction["data"] == "photos"
    rest = replace(new, preprocessing=old.preprocessing, reduction=None)
    assert rest == old
    for name in old.files:
        assert (out / name).read_bytes() == (full_size_bundle / name).read_bytes()


def test_mistakes_are_explained(
    full_size_bundle: Path, mixed_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, out = str(full_size_bundle), ["--out", str(tmp_path / "new"), "--quiet"]
    arguments = [bundle, "--data", str(mixed_photos), *out]
    assert main([*arguments, "--factor", "0.5"]) == 2
    assert "preprocessing.reduce: expected a number from 1 to 16" in capsys.readouterr().err
    assert main([bundle, "--data", str(tmp_path), *out]) == 2
    assert "models.reduce:" in capsys.readouterr().err
    (mixed_photos / "test" / "cat" / "bad.jpg").write_bytes(b"no image")
    assert main(arguments) == 2
    assert "bad.jpg" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
