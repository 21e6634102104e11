"""models.train: records, resumes through the file, says what is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.train import main
from models.trainer import cosine
from tests.models.pictures import write_two_colours


def run(folder: Path, out: Path, *more: str) -> int:
    options = f"--out {out} --batch 4 --quiet --image-size 16 --device cpu --epochs 2".split()
    return main(["meliusnet13", "--data", str(folder), *options, *more])


def test_command_line_writes_checkpoint_and_metrics(tmp_path: Path) -> None:
    write_two_colours(tmp_path / "data")
    assert run(tmp_path / "data", tmp_path / "out") == 0
    content = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)
    assert content["classes"] == ["blue", "red"]
    assert content["test"]["images"] == 4
    assert content["state"]["epoch"] == 2
    lines = (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]


def test_a_killed_run_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_two_colours(tmp_path / "data")

    def killed_in_the_second_epoch(step: int, steps: int) -> float:
        if step >= 2:
            raise KeyboardInterrupt
        return cosine(step, steps)

    with monkeypatch.context() as patch:
        patch.setattr("models.trainer.cosine", killed_in_the_second_epoch)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "data", tmp_path / "broken", "--batch", "5")
    assert run(tmp_path / "data", tmp_path / "broken", "--batch", "5", "--resume") == 0
    assert run(tmp_path / "data", tmp_path / "unbroken", "--batch", "5") == 0
    broken, unbroken = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["state"]["model"]
        for name in ("broken", "unbroken")
    )
    assert broken.keys() == unbroken.keys()
    assert all(torch.equal(broken[name], unbroken[name]) for name in unbroken)
    lines = (tmp_path / "broken" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]


def test_resuming_a_finished_run_trains_no_more(tmp_path: Path) -> None:
    write_two_colours(tmp_path / "data")
    assert run(tmp_path / "data", tmp_path / "out") == 0
    assert run(tmp_path / "data", tmp_path / "out", "--resume") == 0
    assert len((tmp_path / "out" / "metrics.jsonl").read_text().splitlines()) == 2


def test_an_existing_run_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_two_colours(tmp_path / "data")
    assert run(tmp_path / "data", tmp_path / "out") == 0
    before = (tmp_path / "out" / "checkpoint.pt").read_bytes()
    assert run(tmp_path / "data", tmp_path / "out") == 2
    assert "give --resume" in capsys.readouterr().err
    assert (tmp_path / "out" / "checkpoint.pt").read_bytes() == before


def test_resuming_on_other_pictures_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_two_colours(tmp_path / "data")
    assert run(tmp_path / "data", tmp_path / "out") == 0
    pixels = np.zeros((16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "data" / "train" / "blue" / "0.png")
    assert run(tmp_path / "data", tmp_path / "out", "--resume") == 2
    assert "made with data_sha256" in capsys.readouterr().err
    assert run(tmp_path / "data", tmp_path / "out", "--resume", "--image-size", "32") == 2
    assert "made with preprocessing" in capsys.readouterr().err


def test_command_line_names_missing_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, tmp_path / "out") == 2
    assert "expected train/ or train.npz" in capsys.readouterr().err
