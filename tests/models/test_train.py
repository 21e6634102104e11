"""models.train: trains by one command; mistakes and interruptions are one line."""

from pathlib import Path

import pytest
import torch

from models.records.provenance import describe_device
from models.train import main
from models.training.checkpoint import read_checkpoint
from tests.models.images import write_two_colours


def run(folder: Path, out: Path, *more: str) -> int:
    options = f"--out {out} --batch 4 --quiet --image-size 16 --device cpu --epochs 2".split()
    return main(["meliusnet13", "--data", str(folder), *options, *more])


def test_command_line_trains(tmp_path: Path) -> None:
    write_two_colours(tmp_path / "data")
    assert run(tmp_path / "data", tmp_path / "out", "--shift", "0.25", "--stem", "small") == 0
    checkpoint = read_checkpoint(tmp_path / "out" / "checkpoint.pt")
    assert checkpoint.data.classes == ("blue", "red")
    assert checkpoint.changes == {"shift": 0.25}  # the stem is its own
    assert checkpoint.test is not None
    assert checkpoint.test.images == 4
    assert checkpoint.state.progress.epoch == 2
    assert run(tmp_path / "data", tmp_path / "out") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["meliusnet13", "--data", "DATA"], "expected --out"),
        (["meliusnet13", "--out", "x"], "either --data or --folder"),
        (["resnet", "--data", "DATA", "--out", "x"], "expected a network of meliusnet22"),
        (["meliusnet13", "--data", "none", "--out", "x"], "train/, test/ or val/ in it, or packs"),
        (["meliusnet13", "--data", "DATA", "--out", "x", "--epochs", "-1"], "epochs at least 0"),
        (["meliusnet13", "--data", "DATA", "--out", "x", "--epochs", "0"], "at least 1 epoch for"),
        (
            ["meliusnet13", "--data", "DATA", "--out", "x", "--stem", "none"],
            "unknown stem 'none'; known: ",
        ),
        (
            ["mobilenet_v1", "--data", "DATA", "--out", "x", "--shift", "0.1"],
            "mobilenet_v1 has no shift; expected one of name, width",
        ),
        (["--epoch", "1"], "unrecognized arguments: --epoch"),
        (
            ["--folder", "DATA", "--out", "x", "--validation-share", "nan"],
            "finite validation_share",
        ),
        (
            ["--folder", "DATA/train", "--out", "x", "--image-size", "4"],
            "expected --image-size of at least 29 for meliusnet13; found 4",
        ),
    ],
)
def test_mistakes_are_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    write_two_colours(tmp_path)
    assert main([a.replace("DATA", str(tmp_path)) for a in arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("where", ["--data", "--folder"])
def test_an_interruption_ends_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("models.train.train", interrupt)
    arguments = ["meliusnet13", where, "x", "--out", str(tmp_path / "out")]
    assert main(arguments) == 130
    assert capsys.readouterr().err == (
        "models.train: interrupted before the first checkpoint; start it again\n"
    )
    run = tmp_path / ("out" if where == "--data" else "out-training")
    run.mkdir()
    (run / "checkpoint.pt").touch()
    assert main(arguments) == 130
    assert capsys.readouterr().err == (
        f"models.train: interrupted; --resume continues from the last checkpoint in {run}\n"
    )


def test_a_missing_gpu_is_no_reason_to_train_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run(tmp_path, tmp_path / "out", "--device", "cuda") == 2
    assert "expected a GPU" in capsys.readouterr().err


def test_compiling_without_the_headers_it_needs_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    assert run(tmp_path, tmp_path / "out", "--compile") == 2
    error = capsys.readouterr().err
    assert f"expected Python's headers for --compile; found no {tmp_path}/Python.h" in error
    assert "python3-dev" in error


def test_the_device_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_two_colours(tmp_path / "data")
    assert run(tmp_path / "data", tmp_path / "out", "--no-quiet", "--epochs", "1") == 0
    assert f"on {describe_device(torch.device('cpu'))}, 1 process" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("capability", "machine", "fast"),
    [
        ("AVX2", "x86_64", False),
        ("DEFAULT", "x86_64", False),
        ("AVX512", "x86_64", True),
        ("DEFAULT", "aarch64", True),
    ],
)
def test_slow_mixed_precision_is_told(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    capability: str,
    machine: str,
    fast: bool,
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr("platform.machine", lambda: machine)
    write_two_colours(tmp_path / "data")
    options = ["--no-quiet", "--epochs", "1", "--mixed-precision"]
    assert run(tmp_path / "data", tmp_path / "out", *options) == 0
    assert ("Give --no-mixed-precision" in capsys.readouterr().err) != fast
