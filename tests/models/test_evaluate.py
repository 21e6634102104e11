"""models.evaluate: the test images of a folder, seen in other sizes and colours."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.data.datasets import open_data_set
from models.data.decoded import decode_images
from models.errors import DataError
from models.evaluate import main
from models.evaluation.accuracy import (
    change_colors,
    change_levels,
    decode_reduced,
)
from models.records.evaluation import Evaluation
from models.records.typed_json import as_json, parse_json
from runtime import load_engine
from tests.models.checkpoints import export_trained
from tests.models.images import write_two_colours


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network whose classes are called like those of the data."""
    return export_trained(tmp_path_factory.mktemp("evaluate"))


def without_time(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key not in ("started", "seconds")}


def test_command_line(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_two_colours(tmp_path)
    quiet = ["--quiet", "--confusion", str(tmp_path / "confusion.csv")]
    assert main([str(bundle), "--data", str(tmp_path), "--engine", "onnx", *quiet]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["engine"] == "onnx/cpu"
    assert figures["temperature"] == 1
    assert figures["calibration_error"] == figures["calibration_error_with_temperature"]
    assert main([str(bundle), "--data", str(bundle), "--quiet"]) == 2
    assert "expected test/ or val/ in it" in capsys.readouterr().err
    (tmp_path / "test" / "red" / "cut.png").write_bytes(b"no image")
    assert main([str(bundle), "--data", str(tmp_path), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert "red/cut.png: " in error
    assert "--skip-damaged" not in error  # there is no such option here


@pytest.mark.parametrize("part", ["test", "val"])
def test_images_to_train_on_are_not_needed(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    write_two_colours(tmp_path)
    arguments = [str(bundle), "--data", str(tmp_path), "--quiet"]
    assert main(arguments) == 0
    shutil.rmtree(tmp_path / "train")
    (tmp_path / "test").rename(tmp_path / part)
    assert main(arguments) == 0
    whole, alone = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert without_time(whole) == without_time(alone)
    assert whole["trained_on"] == "colours"
    assert re.fullmatch("[0-9a-f]{64}", whole["sha256"])
    answer = parse_json(Evaluation, json.dumps(whole), where="it", expected="it", remedy="")
    assert as_json(answer) == whole, "the report reads it"
    assert answer.version
    with pytest.raises(DataError, match="expected train/"):
        open_data_set(tmp_path)


def test_another_size_before_the_crop(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_two_colours(tmp_path)
    assert main([str(bundle), "--data", str(tmp_path), "--quiet", "--resize", "20"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["resize"] == 20
    assert main([str(bundle), "--data", str(tmp_path), "--quiet", "--resize", "5"]) == 2
    error = capsys.readouterr().err
    assert "expected --resize from 16, the crop" in error
    assert "found 5" in error
    assert "among" not in figures


def test_images_reduced_to_what_another_network_sees(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A board of single black and white pixels is all grey in half the size."""
    board = np.indices((16, 16)).sum(0) % 2 * 255
    for name in ("train/blue", "train/red", "test/blue", "test/red"):
        (tmp_path / name).mkdir(parents=True)
        Image.fromarray(board.astype(np.uint8)).save(tmp_path / name / "board.png")
    files = open_data_set(tmp_path).test
    assert files is not None
    spec = load_engine(bundle, "native").bundle.manifest.preprocessing
    whole = decode_reduced(files, spec, 16).pixels
    assert set(whole.unique().tolist()) == {0, 255}
    reduced = decode_reduced(files, spec, 8).pixels
    assert reduced.shape == whole.shape
    assert 110 < reduced.min() <= reduced.max() < 145
    arguments = [str(bundle), "--data", str(tmp_path), "--quiet", "--seen-at"]
    assert main([*arguments, "8"]) == 0
    assert json.loads(capsys.readouterr().out)["seen_at"] == 8
    for side in ("0", "17"):
        assert main([*arguments, side]) == 2
        assert "--seen-at from 1 to 16" in capsys.readouterr().err


def test_colors_are_changed_always_alike(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_two_colours(tmp_path)
    arguments = [str(bundle), "--data", str(tmp_path), "--quiet", "--color-jitter"]
    answers = []
    for strength in ("0.5", "0.5", "0"):
        assert main([*arguments, strength]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert without_time(answers[0]) == without_time(answers[1])
    assert answers[0]["color_jitter"] == 0.5
    assert answers[0]["loss"] != answers[2]["loss"]
    for strength in ("-0.1", "1.5", "nan"):
        assert main([*arguments, strength]) == 2
        assert f"expected --color-jitter from 0 to 1; found {strength}" in capsys.readouterr().err
    files = open_data_set(tmp_path).test
    assert files is not None
    images = decode_images(files, load_engine(bundle, "native").bundle.manifest.preprocessing)
    many = replace(
        images, pixels=images.pixels.repeat(100, 1, 1, 1), labels=images.labels.repeat(100)
    )
    changed = change_colors(many, 1.0).pixels
    assert changed.shape == many.pixels.shape
    assert (changed != many.pixels).flatten(1).any(1).float().mean() > 0.99


def test_stability_is_the_share_of_answers_that_a_few_levels_do_not_change(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_two_colours(tmp_path)
    assert main([str(bundle), "--data", str(tmp_path), "--quiet", "--stability"]) == 0
    assert 0 <= json.loads(capsys.readouterr().out)["stability"] <= 100
    images = decode_images(
        open_data_set(tmp_path).train, load_engine(bundle).bundle.manifest.preprocessing
    )
    changed = change_levels(images, 0.1)
    difference = (changed.pixels.int() - images.pixels.int()).abs()
    assert difference.max() == 1
    assert 0.05 < difference.float().mean() < 0.11
    assert change_levels(images, 0.1).pixels.equal(changed.pixels)
