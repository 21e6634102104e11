"""models.training.run: from pictures to a run's folder; a killed run goes on as it was."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.data.datasets import DataSet, open_data_set
from models.errors import CheckpointMismatch, DamagedPictures, DataError, RecipeError
from models.records.record import read_record
from models.training.recipe import Recipe
from models.training.run import Job, _split, run_training
from models.training.trainer import Execution
from tests.models.pictures import make_files, write_picture, write_two_colours

RECIPE = Recipe(epochs=2, batch=4, validation_share=0.2)


def make_job(folder: Path, out: Path, **options: Any) -> Job:
    job = Job("meliusnet13", open_data_set(folder), out, RECIPE, image_size=16, progress=False)
    return replace(job, **options)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_two_colours(tmp_path / "data")
    return tmp_path / "data"


def weights(content: dict[str, Any]) -> dict[str, torch.Tensor]:
    model: dict[str, torch.Tensor] = content["state"]["model"]
    return model


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
    assert record["finished"]
    assert record["epochs"] == lines == content["state"]["history"]
    assert record["data"]["parts"]["train"]["images"] == 12
    assert record["data"]["train_images"] + record["data"]["validation_images"] == 12
    assert record["test"]["split"] == "test"
    assert record["test"]["images"] == 4
    assert record["recipe"]["seed"] == 123
    assert str(tmp_path) not in json.dumps(record), "no path of this machine"
    table = (out / "confusion.csv").read_text().splitlines()
    assert table[0].endswith("blue,red")
    assert sum(int(n) for row in table[1:] for n in row.split(",")[1:]) == 4


def test_record_names_the_data_by_its_sums(data: Path, tmp_path: Path) -> None:
    run_training(make_job(data, tmp_path / "run"))
    record = read_record(tmp_path / "run" / "record.json")
    assert record["data"]["parts"]["train"]["sha256"] == open_data_set(data).train.sha256()
    assert record["data"]["classes"] == ["blue", "red"]


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
    resumed = run_training(make_job(data, broken, recipe=recipe, resume=True))
    unbroken = run_training(make_job(data, tmp_path / "unbroken", recipe=recipe))
    assert weights(resumed).keys() == weights(unbroken).keys()
    for name, tensor in weights(unbroken).items():
        assert torch.equal(tensor, weights(resumed)[name]), name
    losses = [[m["loss"] for m in c["state"]["history"]] for c in (resumed, unbroken)]
    assert losses[0] == losses[1]
    assert resumed["test"] == unbroken["test"]


def test_resuming_a_finished_run_trains_no_more(data: Path, tmp_path: Path) -> None:
    first = run_training(make_job(data, tmp_path / "run"))
    record = (tmp_path / "run" / "record.json").read_bytes()
    other = Execution(channels_last=True, measure_every=1)
    again = run_training(make_job(data, tmp_path / "run", resume=True, execution=other))
    assert first["state"]["history"] == again["state"]["history"]
    assert first["test"] == again["test"]
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
    assert "crimson" in read_record(tmp_path / "run" / "record.json")["data"]["labels"]


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
    write_picture(data / "train" / "blue" / "0.png")
    with pytest.raises(CheckpointMismatch, match="made with data_sha256"):
        run_training(make_job(data, out, resume=True))


def test_damaged_pictures_stop_a_run_or_are_recorded(data: Path, tmp_path: Path) -> None:
    for part in ("train", "test"):
        (data / part / "blue" / f"{part}.jpg").write_bytes(f"\xff\xd8\xff no {part}".encode())
    with pytest.raises(
        DamagedPictures, match=r"2 of 18 files(.|\n)*blue/train\.jpg(.|\n)*blue/test"
    ):
        run_training(make_job(data, tmp_path / "run"))
    assert not (tmp_path / "run").exists()  # nothing was trained before it was said
    run_training(make_job(data, tmp_path / "run", skip_damaged=True))
    record = read_record(tmp_path / "run" / "record.json")
    names = [line.split(":")[0] for line in record["data"]["skipped"]]
    assert names == ["blue/train.jpg", "blue/test.jpg"]
    assert record["test"]["images"] == 4


def test_a_part_that_loses_a_class_is_named(data: Path, tmp_path: Path) -> None:
    for picture in (data / "test" / "blue").iterdir():
        picture.write_bytes(picture.name.encode())
    with pytest.raises(DataError, match=r"test part: .* all are damaged of blue"):
        run_training(make_job(data, tmp_path / "run", skip_damaged=True))


def test_copies_of_test_pictures_are_not_watched_by(data: Path, tmp_path: Path) -> None:
    for name in ("red", "blue"):
        for picture in (data / "test" / name).iterdir():
            copy = data / "val" / name / f"copy-{picture.name}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(picture.read_bytes())
        write_picture(data / "val" / name / "other.png", seed=len(name))
    run_training(make_job(data, tmp_path / "run"))
    assert read_record(tmp_path / "run" / "record.json")["data"]["validation_images"] == 2


def test_a_set_of_test_pictures_alone_is_refused(data: Path, tmp_path: Path) -> None:
    for name in ("red", "blue"):
        for picture in (data / "train" / name).iterdir():
            picture.rename(picture.with_name(f"ILSVRC2012_val_{picture.name}"))
    with pytest.raises(DataError, match="pictures of every class to train on"):
        run_training(make_job(data, tmp_path / "run"))


def test_copies_of_test_pictures_are_not_trained_on(data: Path, tmp_path: Path) -> None:
    first = next((data / "test" / "blue").iterdir())
    (data / "train" / "red" / f"copy-{first.name}").write_bytes(first.read_bytes())
    run_training(make_job(data, tmp_path / "run"))
    record = read_record(tmp_path / "run" / "record.json")["data"]
    assert record["parts"]["train"]["images"] == 13
    assert record["train_images"] + record["validation_images"] == 12
    for picture in (data / "train" / "blue").iterdir():
        picture.write_bytes(first.read_bytes())
    with pytest.raises(DataError, match=r"validation or test part too; .* of blue"):
        run_training(make_job(data, tmp_path / "other"))


def test_pictures_left_out_are_counted_of_all_parts() -> None:
    """Of train and of validation, each as often as it lies there; what is held back is none."""

    def count(**parts: dict[str, str]) -> tuple[dict[str, int], int]:
        files = {
            part: make_files(
                {c: {str(i): x.encode() for i, x in enumerate(row)} for c, row in content.items()}
            )
            for part, content in parts.items()
        }
        validation, test = files.get("validation"), files.get("test")
        data = DataSet("x", files["train"], validation, test, ("a", "b"))
        found, left_out = _split(Job("meliusnet13", data, Path(), RECIPE))
        return {part: len(row) for part, row in found.items()}, left_out

    train, test = {"a": "abcdefghij", "b": "ABCDEFGHIJ"}, {"a": "abb", "b": "C"}
    assert count(train=train) == ({"train": 16, "validation": 4}, 0)
    assert count(train=train, test=test) == ({"train": 13, "validation": 4, "test": 4}, 3)
    watched = {"a": "axd", "b": "DDy"}
    found = {"train": 15, "validation": 5, "test": 4}
    assert count(train=train, validation=watched, test=test) == (found, 3 + 2 + 1)
    assert count(train=train, validation=watched) == ({"train": 17, "validation": 6}, 3)
    known = {"a": "ab", "b": "C"}
    assert count(train=train, validation=known, test=test) == ({"train": 17, "test": 4}, 3 + 3)


def test_a_class_without_training_pictures_is_named(data: Path, tmp_path: Path) -> None:
    whole = open_data_set(data)
    only_red = whole.train.select([i for i, n in enumerate(whole.train.names) if "red" in n])
    job = make_job(data, tmp_path / "run", data=DataSet("x", only_red, None, None, whole.labels))
    with pytest.raises(DataError, match="found none of blue"):
        run_training(job)


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
    assert content["test"]["split"] == "validation"
    assert content["calibration"]["images"] == 4
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_stored_pictures_smaller_than_the_input_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least the input's 16 pixels; found --stored-side 8"):
        run_training(make_job(data, tmp_path / "run", stored_side=8))


@pytest.mark.parametrize("sizes", [{"image_size": 0}, {"resize": 5}, {"image_size": 5000}])
def test_sizes_that_do_not_fit_are_refused(
    data: Path, tmp_path: Path, sizes: dict[str, int]
) -> None:
    with pytest.raises(RecipeError, match="expected --image-size from 1 to 4096"):
        run_training(make_job(data, tmp_path / "run", **sizes))
    with pytest.raises(DataError, match="found --stored-side 0"):
        run_training(make_job(data, tmp_path / "run", stored_side=0))
