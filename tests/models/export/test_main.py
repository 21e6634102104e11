"""models.export: the command line, and what it says of mistakes."""

import re
from pathlib import Path

import pytest

from models.export.__main__ import main
from runtime import read_bundle
from tests.models.checkpoints import save_trained


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["meliusnet22", "--checkpoint", "CHECKPOINT"],
            "expected a checkpoint of meliusnet22; found one of meliusnet13",
        ),
        (
            ["meliusnet13", "--checkpoint", "CHECKPOINT", "--num-classes", "9"],
            "expected --num-classes 2, as the checkpoint has; found 9",
        ),
        (
            ["meliusnet13", "--checkpoint", "CHECKPOINT", "--image-size", "9"],
            "expected --image-size 16, as the checkpoint has; found 9",
        ),
        (["meliusnet13", "--checkpoint", "none.pt"], "none.pt"),
        (["meliusnet13", "--checkpoint", "CHECKPOINT"], "has done 3 of 4 epochs"),
        (["meliusnet13", "--num-classes", "2", "--out", "PHOTOS"], "found other files there"),
        (["meliusnet13", "--calibration", "PHOTOS"], "are for --float-layers int8; found float32"),
        (["meliusnet13", "--float-layers", "int8", "--calibration", "PHOTOS"], "expected train/"),
        (
            ["meliusnet13", "--float-layers", "int8", "--evaluation", "PHOTOS"],
            "expected test/ or val/ in it",
        ),
        (["mobilenet_v1_0.25_small", "--float-layers", "int8"], "network with binary layers"),
    ],
)
def test_mistakes_are_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    checkpoint = save_trained(tmp_path / "checkpoint.pt", epoch=3)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    places = {"CHECKPOINT": str(checkpoint), "PHOTOS": str(tmp_path / "photos")}
    arguments = [places.get(a, a) for a in arguments]
    out = [] if "--out" in arguments else ["--out", str(tmp_path / "out")]
    assert main([*arguments, *out]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "found"),
    [(b'{"network": "meliusnet13"}', "none that PyTorch wrote"), (None, "no file there. Correct")],
)
def test_a_checkpoint_that_is_none_is_told_in_our_words(
    content: bytes | None, found: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "checkpoint.pt"
    if content is not None:
        path.write_bytes(content)
    assert main(["meliusnet13", "--checkpoint", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"models.export: {path}: expected a checkpoint of models.train; found")
    assert found in error
    assert "weights_only" not in error


def test_parity_is_told_as_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["meliusnet13", "--num-classes", "4", "--image-size", "16", "--no-self-test"]
    assert main([*options, "--parity-inputs", "2", "--out", str(tmp_path / "bundle")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(
        re.match(r"  parity, onnx  +logits differ by .* of 2 images", line) for line in lines
    )
    assert not any("{" in line for line in lines)


@pytest.mark.parametrize("parts", ["float32", "int8"])
def test_8_bit_parts_come_with_a_word_on_their_speed(
    parts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["meliusnet13", "--num-classes", "4", "--image-size", "16", "--no-self-test"]
    options += ["--float-layers", parts, "--parity-inputs", "1", "--out", str(tmp_path / "bundle")]
    options += ["--calibration-images", "2"] if parts == "int8" else []
    assert main(options) == 0
    said = "8-bit layers are much faster than float32 ones where" in capsys.readouterr().err
    assert said == (parts == "int8")


def test_networks_for_measuring_do_without_stored_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bundle"
    options = ["meliusnet13", "--num-classes", "4", "--image-size", "16", "--no-self-test"]
    assert main([*options, "--out", str(out)]) == 0
    assert "self_test.safetensors" not in read_bundle(out).manifest.files
    capsys.readouterr()
    assert main([*options, "--checkpoint", "c.pt", "--out", str(tmp_path / "no")]) == 2
    assert "expected --no-self-test without --checkpoint, found both" in capsys.readouterr().err
