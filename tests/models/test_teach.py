"""models.teach: packs without "unlabelled" and the teachers' answers beside them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models import teach
from models.command_line.main import FAILED
from models.data.datasets import open_data_set
from models.data.preprocessing import whole_preprocessing
from models.teachers.answers import CLASSES, FILE, read_answers
from models.teachers.imagenet import Asked
from tests.models.images import write_two_colours

KINDS = """
other = "other"
[kinds]
blue = [[0, 0]]
red = [[1, 1]]
"""


def by_colour(inputs: torch.Tensor) -> torch.Tensor:
    """Sure of class 0 where blue is stronger than red, else of class 1."""
    logits = torch.zeros(len(inputs), CLASSES)
    red = inputs[:, 0].mean((1, 2)) > inputs[:, 2].mean((1, 2))
    logits[torch.arange(len(inputs)), red.long()] = 20
    return logits


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two colours, "other", and both colours once more without labels."""
    monkeypatch.setattr(
        teach, "load_teacher", lambda name: Asked(name, whole_preprocessing(8), by_colour)
    )
    write_two_colours(tmp_path / "data")
    train = tmp_path / "data" / "train"
    for name in ("other", "unlabelled"):
        (train / name).mkdir()
    for colour in ("blue", "red"):
        for i, file in enumerate(sorted((train / colour).iterdir())[:3]):
            data = file.read_bytes()
            (train / "unlabelled" / f"{colour}-{i}{file.suffix}").write_bytes(data + b" ")
            (train / "other" / f"{colour}-{i}{file.suffix}").write_bytes(data + b"  ")
    (tmp_path / "kinds.toml").write_text(KINDS)
    return tmp_path / "data"


def test_unlabelled_images_are_sorted_and_answers_stored(data: Path, tmp_path: Path) -> None:
    arguments = [str(data), "--teacher", "colours", "--kinds", str(tmp_path / "kinds.toml")]
    out = tmp_path / "taught"
    assert teach.main([*arguments, "--side", "16", "--out", str(out), "--quiet"]) == 0
    before, after = open_data_set(data).train.counts(), open_data_set(out).train
    assert after.classes == ("blue", "other", "red")
    assert after.counts() == {
        "blue": before["blue"] + 3,
        "red": before["red"] + 3,
        "other": before["other"],
    }
    answers = read_answers(out / FILE).select(after.names, "")
    blue = np.array(after.labels) == 0
    assert (answers.classes[blue, 0] == 0).all()
    assert answers.teachers == ("colours",)


def test_images_that_show_nothing_are_other_and_nobody_is_asked(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = tmp_path / "kinds.toml"
    arguments = [str(data), "--teacher", "colours", "--kinds", str(kinds), "--side", "16"]
    out = tmp_path / "taught"
    assert teach.main([*arguments, "--patterns", "12", "--out", str(out), "--quiet"]) == 0
    files = open_data_set(out).train
    added = [name for name in files.names if name.startswith("other/patterns/")]
    assert len(added) == 12
    answers = read_answers(out / FILE).select(added, "")
    assert (answers.classes > 1).all()  # blue and red are not among them
    assert answers.dense()[:, :2].max() < 1e-3
    for wrong in (["--patterns", "-1"], ["--patterns", "1"]):
        if wrong[-1] == "1":
            kinds.write_text(KINDS.replace('"other"', '"rest"'))
        assert teach.main([*arguments, *wrong, "--out", str(tmp_path / "x"), "--quiet"]) == FAILED
        assert "expected --patterns of at least 0" in capsys.readouterr().err


def test_near_copies_of_images_to_measure_on_are_left_out(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(data), "--teacher", "colours", "--kinds", str(tmp_path / "kinds.toml")]
    copied = sorted((data / "train" / "red").iterdir())[0]
    for name in ("blue", "red"):
        (tmp_path / "held-out" / "test" / name).mkdir(parents=True)
        (tmp_path / "held-out" / "test" / name / copied.name).write_bytes(copied.read_bytes())
    more = ["--apart-from", str(tmp_path / "held-out"), "--out", str(tmp_path / "apart")]
    assert teach.main([*arguments, *more, "--side", "16", "--quiet", "--max-others", "2"]) == 0
    assert "a near copy of an image to measure on" in capsys.readouterr().out
    files = open_data_set(tmp_path / "apart").train
    assert copied.read_bytes() not in {files.read(i) for i in range(len(files))}
    assert files.counts()["other"] <= 2


def test_mistakes_are_told(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(data), "--teacher", "colours", "--out", str(tmp_path / "taught")]
    (tmp_path / "few.toml").write_text('other = "other"\n[kinds]\nblue = [[0, 0]]\n')
    kinds = str(tmp_path / "kinds.toml")
    for more, told in (
        (["--kinds", kinds, "--sure", "0.4"], "expected --sure above 0.5"),
        (["--kinds", str(tmp_path / "few.toml")], "found a difference in red"),
        (["--kinds", str(tmp_path / "nosuch.toml")], "expected a TOML file"),
    ):
        assert teach.main([*arguments, *more]) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "taught").exists()
