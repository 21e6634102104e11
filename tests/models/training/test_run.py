"""models.training.run: from images to a run's folder; a killed run goes on as it was."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.data.datasets import DataSet, open_data_set
from models.errors import CheckpointMismatch
from models.records.record import read_record
from models.records.typed_json import as_json
from models.training.checkpoint import Checkpoint
from models.training.run import run_training
from models.training.trainer import Execution
from tests.models.images import write_image, write_two_colours
from tests.models.jobs import RECIPE, make_job


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_two_colours(tmp_path / "data")
    return tmp_path / "data"


def weights(checkpoint: Checkpoint) -> Mapping[str, torch.Tensor]:
    return checkpoint.state.model


def test_a_run_leaves_checkpoint_metrics_record_curves_and_confusion(
    data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    content = run_training(make_job(data, out))
    assert {path.name for path in out.iterdir()} == {
        *("checkpoint.pt", "metrics.jsonl", "record.json", "curves.svg", "confusion.csv")
    }
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    record = read_record(out / "record.json")
    assert record.finished
    assert record.epochs == content.state.progress.history
    assert [as_json(metrics) for metrics in record.epochs] == lines
    assert record.data.splits["train"].images == 12
    assert record.data.train_images + record.data.validation_images == 12
    assert record.test.split == "test"
    assert record.test.images == 4
    assert record.recipe["seed"] == 123
    assert str(tmp_path) not in (out / "record.json").read_text(), "no path of this machine"
    table = (out / "confusion.csv").read_text().splitlines()
    assert table[0].endswith("blue,red")
    assert sum(int(n) for row in table[1:] for n in row.split(",")[1:]) == 4


def test_record_names_the_data_by_its_sums(data: Path, tmp_path: Path) -> None:
    run_training(make_job(data, tmp_path / "run"))
    record = read_record(tmp_path / "run" / "record.json")
    assert record.data.splits["train"].sha256 == open_data_set(data).train.sha256()
    assert record.data.classes == ("blue", "red")


def test_a_killed_run_goes_on_to_the_same_weights(data: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of an epoch, with a checkpoint after every step."""
    broken, options = tmp_path / "broken", "--image-size 16 --batch 4 --device cpu --quiet"
    command = f"-m models.train meliusnet13 --data {data} --out {broken} --epochs 8 {options}"
    process = subprocess.Popen(
        [
            sys.executable,
            *command.split(),
            "--threads",
            "1",
            "--validation-share",
            "0.2",
            "--checkpoint-minutes",
            "0",
        ]
    )
    try:
        deadline = time.monotonic() + 60
        while not (broken / "metrics.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL, "it was still running"
    recipe = replace(RECIPE, epochs=8)
    killed_at = torch.load(broken / "checkpoint.pt", weights_only=True)["state"]["step"]
    assert 0 < killed_at < 8 * 2
    usual = Execution(channels_last=True, kernels=True)  # of the command line, on a CPU
    resumed = run_training(make_job(data, broken, recipe=recipe, resume=True, execution=usual))
    unbroken = run_training(make_job(data, tmp_path / "unbroken", recipe=recipe, execution=usual))
    assert weights(resumed).keys() == weights(unbroken).keys()
    for name, tensor in weights(unbroken).items():
        assert torch.equal(tensor, weights(resumed)[name]), name
    losses = [[m.loss for m in c.state.progress.history] for c in (resumed, unbroken)]
    assert losses[0] == losses[1]
    assert resumed.test == unbroken.test


def test_resuming_a_finished_run_trains_no_more(data: Path, tmp_path: Path) -> None:
    first = run_training(make_job(data, tmp_path / "run"))
    record = (tmp_path / "run" / "record.json").read_bytes()
    other = Execution(channels_last=True, measure_every=1)
    again = run_training(make_job(data, tmp_path / "run", resume=True, execution=other))
    assert first.state.progress.history == again.state.progress.history
    assert first.test == again.test
    assert (tmp_path / "run" / "record.json").read_bytes() == record  # as it was trained


def test_resuming_a_finished_run_writes_what_is_missing(data: Path, tmp_path: Path) -> None:
    run_training(make_job(data, tmp_path / "run"))
    table = tmp_path / "run" / "confusion.csv"
    before = table.read_text()
    table.unlink()
    run_training(make_job(data, tmp_path / "run", resume=True))
    assert table.read_text() == before
    (data / "words.txt").write_text("red\tcrimson\n")
    run_training(make_job(data, tmp_path / "run", resume=True))
    assert table.read_text() == before.replace("red", "crimson")
    assert "crimson" in read_record(tmp_path / "run" / "record.json").data.labels


def test_an_existing_run_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    run_training(make_job(data, tmp_path / "run"))
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()
    with pytest.raises(CheckpointMismatch, match="give --resume"):
        run_training(make_job(data, tmp_path / "run"))
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before


def test_resuming_another_run_is_refused(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run_training(make_job(data, out))
    with pytest.raises(CheckpointMismatch, match="made with preprocessing"):
        run_training(make_job(data, out, resume=True, image_size=32))
    with pytest.raises(CheckpointMismatch, match="made with changes"):
        run_training(make_job(data, out, resume=True, changes={"shift": 0.1}))
    write_image(data / "train" / "blue" / "0.png")
    with pytest.raises(CheckpointMismatch, match="made with data SHA-256"):
        run_training(make_job(data, out, resume=True))


def test_without_a_test_part_the_validation_part_is_measured(data: Path, tmp_path: Path) -> None:
    whole = open_data_set(data)
    job = make_job(
        data,
        tmp_path / "run",
        data=DataSet("x", whole.train, whole.test, None, whole.labels),
        execution=Execution(channels_last=True, measure_every=2),
        cache=tmp_path / "cache",
    )
    content = run_training(job)
    assert content.test.split == "validation"
    assert content.calibration.images == 4
    assert len(list((tmp_path / "cache").iterdir())) == 2
