"""models.training.initial_weights: a training begins with what another one has learned."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from models.errors import RecipeError
from models.export.bundle import ExportOptions, export_checkpoint
from models.networks.registry import build_network
from models.records.record import read_record
from models.train import main as train
from models.training.checkpoint import build_trained, read_checkpoint
from models.training.initial_weights import read_start
from tests.models.images import write_two_colours

OPTIONS = ["--epochs", "1", "--image-size", "16", "--batch", "4", "--quiet", "--device", "cpu"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on two colours; the data lies beside it."""
    folder = tmp_path_factory.mktemp("pretrained")
    write_two_colours(folder / "data")
    command = ["meliusnet13", "--data", str(folder / "data"), "--out", str(folder / "run")]
    assert train([*command, *OPTIONS]) == 0
    return folder / "run"


def continue_training(run: Path, out: Path, start: Path, *more: str) -> int:
    command = ["meliusnet13", "--data", str(run.parent / "data"), "--out", str(out)]
    return train([*command, *OPTIONS, "--start", str(start), *more])


def trained_tensors(path: Path) -> dict[str, torch.Tensor]:
    return build_trained(read_checkpoint(path)).state_dict()


def test_other_classes_begin_with_a_new_last_layer(run: Path) -> None:
    torch.manual_seed(0)
    network = build_network("meliusnet13", 2)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    read_start(run / "checkpoint.pt").begin(network, "meliusnet13", ["cat", "dog"])
    expected = trained_tensors(run / "checkpoint.pt")
    for key, tensor in network.state_dict().items():
        source = before if key.startswith("head.fc.") else expected
        assert torch.equal(tensor, source[key]), key


def test_run_begins_with_the_weights_and_records_them(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    small_steps = ("--learning-rate", "1e-12")
    assert continue_training(run, out, run, *small_steps) == 0
    expected = trained_tensors(run / "checkpoint.pt")
    for key, tensor in trained_tensors(out / "checkpoint.pt").items():
        if key.endswith((".weight", ".bias")):
            assert torch.allclose(tensor, expected[key], atol=1e-8), key
    assert (read_record(out / "record.json").start or "").startswith("meliusnet13 on data (pt ")
    assert read_record(run / "record.json").start is None


def test_resuming_with_another_start_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert continue_training(run, out, run / "checkpoint.pt") == 0
    assert continue_training(run, out, Path("none"), "--resume") == 2
    assert "made with start meliusnet13 on data" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes", [{"improvement": False}, {"stem": "grouped"}, {"binary": False}]
)
def test_another_network_is_refused(run: Path, changes: dict[str, Any]) -> None:
    network = build_network("meliusnet13", 2, **changes)
    with pytest.raises(RecipeError, match="expected the network of the initial weights, melius"):
        read_start(run / "checkpoint.pt").begin(network, "meliusnet13", ["blue", "red"])


def test_another_name_is_refused(run: Path) -> None:
    network = build_network("meliusnet22", 2)
    with pytest.raises(RecipeError, match=r"found meliusnet22, in which .* differ"):
        read_start(run / "checkpoint.pt").begin(network, "meliusnet22", ["blue", "red"])


def test_a_threshold_shift_is_for_random_weights(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = run / "checkpoint.pt"
    assert continue_training(run, tmp_path / "run", start, "--shift", "0.2") == 2
    assert "expected --shift without --start" in capsys.readouterr().err


def test_foreign_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RecipeError, match=r"found none at .*missing.pt"):
        read_start(tmp_path / "missing.pt")
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, other)
    with pytest.raises(RecipeError, match=r"expected weights written by models\.pretrained"):
        read_start(other)
    other.write_bytes(b"no weights")
    with pytest.raises(RecipeError, match=r"expected weights written by models\.pretrained"):
        read_start(other)
    about = {"network": "meliusnet13", "changes": {}, "classes": ["a", "b"], "data": "d"}
    for damage in ({"classes": 3}, {"changes": None}, {"network": ["x"]}, {"data": None}):
        save_file({"x": torch.zeros(1)}, other, {"about": json.dumps(about | damage)})
        with pytest.raises(
            RecipeError, match=f"expected weights .* {next(iter(damage))} should be"
        ):
            read_start(other)
    save_file({"x": torch.zeros(1)}, other, {"about": json.dumps([1])})
    with pytest.raises(RecipeError, match=r"should be an object, found \[1\]"):
        read_start(other)
    save_file({"x": torch.tensor([1, math.nan])}, other, {"about": json.dumps(about)})
    with pytest.raises(RecipeError, match="expected finite weights; found others in x"):
        read_start(other)


def test_no_epoch_at_all_fits_the_last_layer_alone(run: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    write_two_colours(data, train=24, test=8)
    for split in ("train", "test"):
        (data / split / "blue").rename(data / split / "water")
    options = ["--image-size", "16", "--quiet", "--device", "cpu", "--epochs", "0"]
    command = ["meliusnet13", "--data", str(data), "--out", str(out), *options]
    assert train([*command, "--start", str(run / "checkpoint.pt")]) == 0
    expected = trained_tensors(run / "checkpoint.pt")
    for key, tensor in trained_tensors(out / "checkpoint.pt").items():
        assert torch.equal(tensor, expected[key]) != key.startswith("head.fc."), key
    record = read_record(out / "record.json")
    assert record.finished
    assert record.epochs == ()
    assert record.test.top1 == 100
    assert not (out / "curves.svg").exists()


def test_batch_norms_of_a_bundle_are_measured_before_the_first_step(
    run: Path, tmp_path: Path
) -> None:
    quick = ExportOptions(parity_inputs=2, self_test=False)
    bundle = export_checkpoint(read_checkpoint(run / "checkpoint.pt"), tmp_path / "b", quick)
    out = tmp_path / "run"
    assert continue_training(run, out, bundle.path, "--learning-rate", "1e-12") == 0
    expected, found = (trained_tensors(path / "checkpoint.pt") for path in (run, out))
    for key, tensor in found.items():
        if key.endswith("running_var"):
            assert (tensor < 2**30).all(), key
        if key.endswith("conv.weight") and "stages" in key:
            assert torch.equal(tensor >= 0, expected[key] >= 0), key
    before, after = (read_record(path / "record.json").test for path in (run, out))
    assert before is not None
    assert after is not None
    assert after.loss < before.loss + 1
    assert continue_training(run, out, bundle.path, "--learning-rate", "1e-12", "--resume") == 0


@pytest.mark.parametrize("stem", ["grouped", "small"])
def test_without_a_network_it_is_that_of_the_initial_weights(tmp_path: Path, stem: str) -> None:
    """Own photos have another stem by default than MeliusNet13 has."""
    write_two_colours(tmp_path / "data")
    where = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "run")]
    assert train(["meliusnet13", "--stem", stem, *where, *OPTIONS, "--image-size", "32"]) == 0
    quick = ExportOptions(parity_inputs=2, self_test=False)
    export_checkpoint(read_checkpoint(tmp_path / "run" / "checkpoint.pt"), tmp_path / "b", quick)
    for start in (tmp_path / "run", tmp_path / "b"):
        out = tmp_path / f"own-{start.name}"
        photos = ["--folder", str(tmp_path / "data" / "train"), "--out", str(out)]
        assert train([*photos, "--start", str(start), "--image-size", "32", "--quiet"]) == 0
        made = read_checkpoint(tmp_path / f"own-{start.name}-training" / "checkpoint.pt")
        assert made.network == "meliusnet13"
        assert made.changes.get("stem", "small") == stem
