"""models.enlarge: a trained network for larger images, with the same weights."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.data.datasets import open_data_set
from models.data.image_folder import open_photos
from models.enlarge import main
from models.errors import CheckpointMismatch
from models.export.bundle import ExportOptions, export_checkpoint
from models.records.record import read_record
from models.records.typed_json import as_json
from models.report.runs import Run
from models.training.checkpoint import read_checkpoint
from models.training.job import Job
from models.training.recipe import Recipe
from models.training.run import run_training
from tests.models.images import write_two_colours
from tests.models.jobs import RECIPE, make_job

STATISTICS = ("running_mean", "running_var")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_two_colours(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Path:
    recipe = replace(RECIPE, epochs=1)
    run_training(make_job(data, tmp_path / "run", recipe=recipe, resize=18))
    return tmp_path / "run"


def options(run: Path, data: Path, out: Path, *more: str) -> list[str]:
    return [*(str(run), "--data", str(data), "--out", str(out), "--quiet"), *more]


def test_weights_stay_and_statistics_are_those_of_larger_images(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "larger"
    assert main(options(run, data, out, "--image-size", "32")) == 0
    printed = json.loads(capsys.readouterr().out)
    before, after = (read_checkpoint(path / "checkpoint.pt") for path in (run, out))
    assert (after.preprocessing.crop, after.preprocessing.resize) == (32, 36)
    model = after.state.model
    for key, value in before.state.model.items():
        if key.endswith(STATISTICS):
            assert not torch.equal(model[key], value), key
        elif not key.endswith("num_batches_tracked"):
            assert torch.equal(model[key], value), key
    record = read_record(out / "record.json")
    assert record.test == after.test
    assert record.calibration == after.calibration
    assert record.adaptation == after.adaptation
    assert record.test and record.calibration and record.adaptation  # noqa: PT018
    assert printed["test"] == as_json(record.test)
    assert printed["calibration"] == as_json(record.calibration)
    assert printed["validation"]["images"] == record.calibration.images
    assert record.adaptation.trained_as == before.preprocessing
    assert record.adaptation.train_images == record.data.train_images
    assert (out / "confusion.csv").is_file()
    known, larger = (Run("a", path, read_record(path / "record.json")) for path in (run, out))
    assert known.identity != larger.identity
    assert larger.side == 32
    assert larger.validation_top1 == printed["validation"]["top1"]
    assert "trained at 16 pixels" in larger.describe()
    assert "trained at" not in known.describe()
    bundle = export_checkpoint(after, tmp_path / "bundle", ExportOptions(parity_inputs=2))
    assert bundle.manifest.input == (3, 32, 32)
    assert bundle.manifest.training
    assert bundle.manifest.training["enlarged"]["from"]["crop"] == 16


def test_it_is_the_same_each_time(run: Path, data: Path, tmp_path: Path) -> None:
    made = []
    for out in (tmp_path / "a", tmp_path / "b"):
        assert main(options(run, data, out, "--image-size", "20", "--resize", "21")) == 0
        made.append(read_checkpoint(out / "checkpoint.pt"))
    first, second = (checkpoint.state.model for checkpoint in made)
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert made[0].test == made[1].test
    assert made[0].preprocessing.resize == 21


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (("16",), "expected --image-size above the 16 pixels that the network was trained on"),
        (("32", "--resize", "0"), "expected --image-size from 1 to .* and --resize from that"),
        (("32", "--resize", "31"), "expected --image-size from 1 to .* and --resize from that"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(
    sizes: tuple[str, ...],
    message: str,
    run: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "larger"
    assert main(options(run, data, out, "--image-size", *sizes)) == 2
    error = capsys.readouterr().err
    assert error.startswith("models.enlarge: ")
    assert re.search(message, error)
    assert not (out / "checkpoint.pt").exists()


def test_other_images_and_other_files_are_refused(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    write_two_colours(other)
    next((other / "train").rglob("*.*g")).unlink()
    assert main(options(run, other, tmp_path / "new", "--image-size", "32")) == 2
    assert "expected the images that the network was trained on" in capsys.readouterr().err
    assert main(options(run, data, run, "--image-size", "32")) == 2
    assert "expected --out to be a new folder" in capsys.readouterr().err
    assert read_checkpoint(run / "checkpoint.pt").preprocessing.crop == 16


def test_an_unfinished_training_is_refused(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(run / "checkpoint.pt", weights_only=True)
    content["state"]["epoch"] = 0
    torch.save(content, run / "checkpoint.pt")
    assert main(options(run, data, tmp_path / "new", "--image-size", "32")) == 2
    assert "expected a finished training" in capsys.readouterr().err


def test_an_enlarged_run_is_neither_enlarged_nor_trained_again(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "larger"
    assert main(options(run, data, out, "--image-size", "18", "--resize", "18")) == 0
    assert main(options(out, data, tmp_path / "new", "--image-size", "32")) == 2
    assert "found one that models.enlarge or models.average made" in capsys.readouterr().err
    recipe = Recipe(epochs=1, batch=4, validation_share=0.2)
    job = Job("meliusnet13", open_data_set(data), out, recipe, image_size=18, resume=True)
    with pytest.raises(CheckpointMismatch, match=r"found what models\.enlarge made from one"):
        run_training(replace(job, stored_side=18, progress=False))


def test_a_checkpoint_that_lacks_something_is_refused(
    run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(run / "checkpoint.pt", weights_only=True)
    del content["data"]["labels"]
    torch.save(content, run / "checkpoint.pt")
    out = tmp_path / "new"
    assert main(options(run, data, out, "--image-size", "32")) == 2
    assert "it lacks data.labels" in capsys.readouterr().err
    assert not out.exists()


def test_own_photos_with_damaged_ones_and_no_test_part(data: Path, tmp_path: Path) -> None:
    photos = data / "train"
    next(photos.rglob("*.*g")).write_bytes(b"damaged")
    recipe = Recipe(epochs=1, batch=4, validation_share=0.3)
    job = Job("meliusnet13", open_photos(photos, 0.3), tmp_path / "run", recipe, image_size=16)
    trained = run_training(replace(job, skip_damaged=True, progress=False))
    assert len(trained.data.skipped) == 1
    out = tmp_path / "larger"
    arguments = [str(tmp_path / "run"), "--folder", str(photos), "--out", str(out), "--quiet"]
    assert main([*arguments, "--image-size", "32"]) == 0
    record = read_record(out / "record.json")
    assert record.test.split == "validation"
    assert record.adaptation.validation.top1 == record.test.top1
    assert record.adaptation.train_images == record.data.train_images
