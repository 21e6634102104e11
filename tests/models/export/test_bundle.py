"""models.export.bundle: of untrained and trained networks, for every engine, with parity."""

from pathlib import Path

import numpy as np
import pytest

from models.export.__main__ import main
from models.export.parity import parity_inputs
from models.train import main as train
from runtime import ENGINES, load_engine, read_bundle, run_self_test
from runtime.manifest import FLOAT_ORDER, FORMAT
from runtime.plan import Plan
from tests.models.images import write_two_colours


def test_untrained_bundle_says_so_and_runs_on_every_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    assert main(["meliusnet13", "--num-classes", "4", "--image-size", "16", "--out", str(out)]) == 0
    assert "(untrained)" in capsys.readouterr().out
    manifest = read_bundle(out).manifest
    assert not manifest.trained
    assert manifest.training is None
    assert manifest.labels == ("class 0", "class 1", "class 2", "class 3")
    assert set(manifest.files) == {
        *("packed.safetensors", "model.onnx", "model.ts", "self_test.safetensors")
    }
    assert (manifest.format, manifest.float_order) == (FORMAT, FLOAT_ORDER)
    for figures in manifest.parity.values():
        assert figures["top1_agreement"] == 1
        assert figures["max_abs_logit_difference"] < 1e-3
    for name in ENGINES:
        assert run_self_test(load_engine(out, name)).verdict in ("exact", "within bound")
    logits = load_engine(out, "native").predict(parity_inputs(manifest.input, 2))
    assert logits.shape == (2, 4)


def test_int8_float_parts_are_recorded_and_run_on_every_engine(tmp_path: Path) -> None:
    base = ["meliusnet13", "--num-classes", "4", "--image-size", "16", "--out"]
    assert main([*base, str(tmp_path / "float")]) == 0
    assert main([*base, str(tmp_path / "int8"), "--float-layers", "int8"]) == 0
    plain, manifest = (read_bundle(tmp_path / name).manifest for name in ("float", "int8"))
    assert plain.quantization is None
    assert manifest.quantization is not None
    assert manifest.quantization["layers"] == [
        "stem.conv1",
        "transition1",
        "transition2",
        "transition3",
        "head",
    ]
    assert manifest.quantization["calibration"]["source"] == "noise"
    assert manifest.quantization["change"]["median_abs_logit_difference"] > 0
    weights = [m.files["packed.safetensors"].bytes for m in (plain, manifest)]
    assert weights[1] < 0.7 * weights[0]
    images = parity_inputs(manifest.input, 8)
    logits = [load_engine(tmp_path / "int8", name).predict(images) for name in ENGINES]
    assert np.array_equal(logits[0], logits[1])  # native, torchscript
    for figures in manifest.parity.values():  # but for levels that rounding moves
        assert figures["median_abs_logit_difference"] < 1e-3


def test_int8_of_a_trained_network_is_calibrated_and_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_two_colours(tmp_path / "data", train=40)
    options = "--batch 4 --quiet --epochs 2 --image-size 16 --device cpu --learning-rate 0.01"
    data = str(tmp_path / "data")
    assert (
        train(["meliusnet13", "--data", data, "--out", str(tmp_path / "run"), *options.split()])
        == 0
    )
    command = ["meliusnet13", "--checkpoint", str(tmp_path / "run" / "checkpoint.pt")]
    command += ["--out", str(tmp_path / "bundle"), "--float-layers", "int8"]
    assert main(command) == 2
    capsys.readouterr()
    options = f"--calibration {data} --calibration-images 10 --evaluation {data}"
    assert main([*command, *options.split()]) == 0
    quantization = read_bundle(tmp_path / "bundle").manifest.quantization
    assert quantization is not None
    assert quantization["calibration"] == {"source": "train", "images": 10, "range": "maximum"}
    assert "warning: expected" not in capsys.readouterr().err
    assert main([*command, "--calibration", data, "--replace"]) == 0
    error = capsys.readouterr().err
    assert f"expected 128 images for the calibration, found 40 in {data}" in error
    assert quantization["accuracy"]["images"] == 4


def test_weights_are_in_the_bundle_once(tmp_path: Path) -> None:
    main(["meliusnet13", "--num-classes", "4", "--image-size", "16", "--out", str(tmp_path / "b")])
    files = read_bundle(tmp_path / "b").manifest.files
    graphs = files["model.onnx"].bytes + files["model.ts"].bytes
    assert graphs < files["packed.safetensors"].bytes / 10


def test_two_exports_are_equal(tmp_path: Path) -> None:
    for name in "ab":
        main(
            [
                "meliusnet13",
                "--num-classes",
                "3",
                "--image-size",
                "16",
                "--out",
                str(tmp_path / name),
            ]
        )
    one, two = (read_bundle(tmp_path / name).manifest for name in "ab")
    assert one.files["packed.safetensors"] == two.files["packed.safetensors"]
    assert one.files["model.onnx"] == two.files["model.onnx"]
    assert one.files["self_test.safetensors"] == two.files["self_test.safetensors"]


def test_mobilenet_is_for_the_onnx_engine_alone(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    assert main(["mobilenet_v1_0.25_small", "--num-classes", "3", "--out", str(out)]) == 0
    manifest = read_bundle(out).manifest
    assert set(manifest.files) == {"model.onnx", "self_test.safetensors"}
    assert manifest.plan == Plan()
    assert "not_measured" in manifest.parity["native"]
    assert str(tmp_path) not in str(manifest.parity)
    engine = load_engine(out)
    assert engine.name == "onnx"
    assert [skipped.name for skipped in engine.skipped] == ["native", "torchscript"]


def test_trained_network_keeps_classes_recipe_and_accuracy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.evaluation.final.MIN_IMAGES", 1)  # so that there is a temperature
    write_two_colours(tmp_path / "data", train=40)
    options = "--batch 4 --quiet --epochs 2 --image-size 16 --device cpu --learning-rate 0.01"
    arguments = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"), *options.split()]
    assert train(["meliusnet13", *arguments, "--data-name", "two colours"]) == 0
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    out = tmp_path / "bundle"
    assert main(["meliusnet13", "--checkpoint", str(checkpoint), "--out", str(out)]) == 0
    manifest = read_bundle(out).manifest
    assert manifest.trained
    assert manifest.labels == ("blue", "red")
    assert manifest.training is not None
    assert manifest.training["data"] == "two colours"
    assert manifest.training["accuracy"]["images"] == 4
    assert manifest.training["recipe"]["epochs"] == 2
    assert manifest.temperature == manifest.training["calibration"]["temperature"] != 1
    assert manifest.training["classes"] == ["blue", "red"]
    assert all(figures["top1_agreement"] == 1 for figures in manifest.parity.values())
