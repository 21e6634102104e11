"""models.quantize_onnx: what it needs and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from models.export.__main__ import main as export
from models.quantize_onnx import main
from runtime import read_bundle
from runtime.bundle import write_bundle
from tests.models.images import write_image


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained MobileNet-v1 of 32 pixels that knows five classes."""
    out = tmp_path_factory.mktemp("quantize") / "bundle"
    arguments = ["--num-classes", "5", "--image-size", "32", "--no-self-test", "--out", str(out)]
    assert export(["mobilenet_v1_0.25_small", *arguments]) == 0
    return out


@pytest.fixture
def trained(bundle: Path, tmp_path: Path) -> Path:
    """The same, said to be trained."""
    training = {"data": "photos", "accuracy": {"top1": 80.0, "images": 10}}
    manifest = replace(read_bundle(bundle).manifest, trained=True, training=training)
    return write_bundle(
        tmp_path / "trained", manifest, {name: bundle / name for name in manifest.files}
    ).path


def test_a_trained_network_wants_photos_or_a_word(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "int8"
    assert main([str(trained), "--out", str(out)]) == 2
    assert "--calibration DIR" in capsys.readouterr().err
    assert main([str(trained), "--no-self-test", "--noise", "--out", str(out)]) == 2
    assert "--no-self-test" in capsys.readouterr().err
    assert not out.exists()
    assert main([str(trained), "--noise", "--out", str(out)]) == 0
    content = json.loads((out / "manifest.json").read_text())
    assert content["quantization"]["calibration"]["source"] == "noise"


def test_few_photos_are_told(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    write_image(photos / "a.jpg")
    out = ["--out", str(tmp_path / "int8"), "--no-self-test"]
    assert main([str(bundle), "--calibration", str(photos), *out]) == 0
    expected = f"expected at least 128 photos for the calibration, found 1 in {photos}"
    assert expected in capsys.readouterr().err
    assert main([str(bundle), "--noise", *out, "--replace"]) == 0
    assert not capsys.readouterr().err


def test_what_it_refuses(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    binary, empty = "service/bundles/default", tmp_path / "empty"
    empty.mkdir()
    out = ["--out", str(tmp_path / "int8")]
    for arguments, text in (
        ([binary, "--noise"], "--float-layers int8"),
        ([str(bundle), "--calibration", str(empty)], "expected photos"),
        ([str(tmp_path / "none")], "none"),
    ):
        assert main([*arguments, *out]) == 2
        assert text in capsys.readouterr().err
    assert not (tmp_path / "int8").exists()
