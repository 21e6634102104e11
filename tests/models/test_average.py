"""models.average: the command that averages weights of trainings."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.average import main
from models.errors import CheckpointMismatch
from models.export.bundle import ExportOptions, export_checkpoint
from models.records.record import read_record
from models.records.typed_json import as_json
from models.report.runs import Run
from models.training.checkpoint import read_checkpoint
from models.training.run import run_training
from tests.models.images import write_two_colours
from tests.models.jobs import RECIPE, make_job


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_two_colours(tmp_path / "data")
    run_training(make_job(tmp_path / "data", tmp_path / "start"))
    job = make_job(tmp_path / "data", tmp_path / "run", start=tmp_path / "start")
    run_training(job)
    return tmp_path


def options(folder: Path, *more: str) -> list[str]:
    given = ["--start", str(folder / "start"), "--data", str(folder / "data"), "--quiet"]
    return [str(folder / "run"), *given, "--out", str(folder / "new"), *more]


def test_the_new_run_has_a_checkpoint_and_a_record(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options(folder)) == 0
    printed = json.loads(capsys.readouterr().out)
    record = read_record(folder / "new" / "record.json")
    assert record.averaging is not None
    assert (record.averaging.runs, record.averaging.share) == (1, 0.7)
    assert printed["test"] == as_json(record.test)
    assert printed["validation"] == as_json(record.averaging.validation)
    assert {path.name for path in (folder / "new").iterdir()} == {
        *("checkpoint.pt", "record.json", "confusion.csv")
    }
    assert record.averaging.validation is not None
    run = Run("new", folder / "new", record)
    assert run.validation_top1 == record.averaging.validation.top1


def test_a_bundle_counts_with_the_latent_weights_that_the_runs_began_with(folder: Path) -> None:
    quick = ExportOptions(parity_inputs=2, self_test=False)
    begun = read_checkpoint(folder / "start" / "checkpoint.pt")
    bundle = export_checkpoint(begun, folder / "bundle", quick)
    job = make_job(
        folder / "data",
        folder / "smaller",
        start=bundle.path,
        recipe=replace(RECIPE, latent=0.004),
    )
    run_training(job)
    out = folder / "mean"
    given = ["--start", str(bundle.path), "--data", str(folder / "data"), "--out", str(out)]
    assert main([str(folder / "smaller"), *given, "--share", "0.5", "--quiet"]) == 0
    run, mean = (read_checkpoint(path / "checkpoint.pt") for path in (folder / "smaller", out))
    key = "stages.0.0.conv.weight"
    started = begun.state.model[key].sign() * 0.004
    assert torch.allclose(mean.state.model[key], (run.state.model[key] + started) / 2, atol=1e-6)


def test_it_is_no_training_to_resume(folder: Path) -> None:
    assert main(options(folder)) == 0
    job = make_job(folder / "data", folder / "new", start=folder / "start", resume=True)
    with pytest.raises(CheckpointMismatch, match=r"found what models\.average made from one"):
        run_training(job)


def test_a_folder_with_files_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "new").mkdir()
    (folder / "new" / "mine").touch()
    assert main(options(folder)) == 2
    assert "expected --out to be a new folder" in capsys.readouterr().err
