"""models.training.averaging: the mean of weights that trainings began with and ended with."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.data.datasets import open_data_set
from models.errors import CheckpointMismatch, RecipeError
from models.export.bundle import ExportOptions, export_checkpoint
from models.training.averaging import average, mean_of
from models.training.batch_norms import estimate_batch_norms
from models.training.checkpoint import (
    Checkpoint,
    build_trained,
    read_checkpoint,
    save_checkpoint,
)
from models.training.initial_weights import read_start
from models.training.remake import decode_again
from models.training.run import run_training
from tests.models.images import write_two_colours
from tests.models.jobs import RECIPE, make_job

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data; start, a run; a and b, two trainings that began with it."""
    folder = tmp_path_factory.mktemp("averaging")
    write_two_colours(folder / "data")
    run_training(make_job(folder / "data", folder / "start"))
    for name, seed in (("a", 1), ("b", 2)):
        recipe = replace(RECIPE, seed=seed)
        job = make_job(folder / "data", folder / name, recipe=recipe, start=folder / "start")
        run_training(job)
    return folder


def read(folder: Path, *names: str) -> list[Checkpoint]:
    return [read_checkpoint(folder / name / "checkpoint.pt") for name in names]


def make(folder: Path, out: Path, share: float, *names: str, start: str = "start") -> Checkpoint:
    data = open_data_set(folder / "data")
    begun = read_start(folder / start)
    return average(read(folder, *names), begun, share, data, out / "confusion.csv")


def test_weights_are_the_mean_by_share(folder: Path, tmp_path: Path) -> None:
    made = make(folder, tmp_path, 0.8, "a", "b")
    start, a, b = (checkpoint.state.model for checkpoint in read(folder, "start", "a", "b"))
    for key, tensor in made.state.model.items():
        if not key.endswith(STATISTICS):
            expected = 0.4 * a[key] + 0.4 * b[key] + 0.2 * start[key]
            assert torch.allclose(tensor, expected, atol=1e-6), key
    assert made.averaging is not None
    assert (made.averaging.runs, made.averaging.share) == (2, 0.8)
    assert made.averaging.train_images == made.data.train_images
    assert made.test is not None
    assert made.adaptation is None


def test_batch_norms_are_those_of_the_mean(folder: Path, tmp_path: Path) -> None:
    made = make(folder, tmp_path, 0.5, "a")
    network = build_trained(made)
    images = decode_again(made, open_data_set(folder / "data"), made.preprocessing, False)
    estimate_batch_norms(network, images["train"], made.preprocessing)
    for key, tensor in network.state_dict().items():
        assert torch.allclose(made.state.model[key], tensor, atol=1e-5), key
    states = [checkpoint.state.model for checkpoint in read(folder, "a", "start")]
    key = "head.bn.running_mean"
    assert not torch.allclose(made.state.model[key], mean_of(states, [0.5, 0.5])[key], rtol=1e-3)


def test_without_the_start_the_runs_alone_count(folder: Path, tmp_path: Path) -> None:
    made = make(folder, tmp_path, 1, "a")
    before = read(folder, "a")[0].state.model
    for key, tensor in made.state.model.items():
        if not key.endswith(STATISTICS):
            assert torch.equal(tensor, before[key]), key


def test_a_bundle_can_be_the_start(folder: Path, tmp_path: Path) -> None:
    quick = ExportOptions(parity_inputs=2, self_test=False)
    (checkpoint,) = read(folder, "start")
    bundle = export_checkpoint(checkpoint, tmp_path / "bundle", quick)
    job = make_job(folder / "data", tmp_path / "run", start=bundle.path)
    run_training(job)
    data, begun = open_data_set(folder / "data"), read_start(bundle.path)
    run = read_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert run.start == begun.name
    assert "(bundle " in begun.name
    made = average([run], begun, 0.5, data, tmp_path / "confusion.csv")
    assert made.test is not None
    assert made.test.loss < 2
    exported = export_checkpoint(made, tmp_path / "new", quick)
    assert exported.manifest.training is not None
    assert exported.manifest.training["averaged"]["share"] == 0.5


def test_tensors_that_are_no_floats_are_the_first_ones() -> None:
    states = [
        {"n": torch.tensor(3), "x": torch.tensor([1.0])},
        {"n": torch.tensor(5), "x": torch.tensor([2.0])},
    ]
    made = mean_of(states, [0.25, 0.75])
    assert made["n"] == 3
    assert made["x"] == 1.75


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan")])
def test_a_share_that_makes_no_sense_is_refused(folder: Path, tmp_path: Path, share: float) -> None:
    with pytest.raises(RecipeError, match="expected --share above 0, at most 1"):
        make(folder, tmp_path, share, "a")


def test_other_initial_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointMismatch, match="expected --start with the weights that the run"):
        make(folder, tmp_path, 0.5, "a", start="b")


def test_runs_that_are_not_alike_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointMismatch, match="differ in their seeds alone; found another start"
    ):
        make(folder, tmp_path, 0.5, "a", "start")
    a, b = read(folder, "a", "b")
    share = replace(b.recipe, validation_share=0.4)
    b = replace(b, state=replace(b.state, progress=replace(b.state.progress, recipe=share)))
    data, begun = open_data_set(folder / "data"), read_start(folder / "start")
    with pytest.raises(CheckpointMismatch, match="found another recipe"):
        average([a, b], begun, 0.5, data, tmp_path / "confusion.csv")


def test_runs_from_random_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    for share in (0.5, 1):
        with pytest.raises(CheckpointMismatch, match="found random initial weights"):
            make(folder, tmp_path, share, "start")


def test_a_last_layer_that_was_fitted_anew_is_averaged_among_runs_alone(
    folder: Path, tmp_path: Path
) -> None:
    (begun,) = read(folder, "start")
    others = replace(begun, data=replace(begun.data, classes=("cat", "dog")))
    save_checkpoint(tmp_path / "others.pt", others)
    for name in ("c", "d"):
        recipe = replace(RECIPE, seed=ord(name))
        job = make_job(
            folder / "data", tmp_path / name, recipe=recipe, start=tmp_path / "others.pt"
        )
        run_training(job)
    runs = [read_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("c", "d")]
    start, data = read_start(tmp_path / "others.pt"), open_data_set(folder / "data")
    with pytest.raises(RecipeError, match="Give --share 1, which leaves them out"):
        average(runs, start, 0.5, data, tmp_path / "confusion.csv")
    made = average(runs, start, 1, data, tmp_path / "confusion.csv")
    key = "head.fc.weight"
    states = [checkpoint.state.model for checkpoint in runs]
    assert torch.allclose(made.state.model[key], mean_of(states, [0.5, 0.5])[key])


def test_other_images_and_averaged_runs_are_refused(folder: Path, tmp_path: Path) -> None:
    write_two_colours(tmp_path / "other", train=20)
    runs, begun = read(folder, "a"), read_start(folder / "start")
    with pytest.raises(CheckpointMismatch, match="expected the images that the network was"):
        average(runs, begun, 0.5, open_data_set(tmp_path / "other"), tmp_path / "confusion.csv")
    made = make(folder, tmp_path, 0.5, "a")
    data = open_data_set(folder / "data")
    with pytest.raises(
        CheckpointMismatch, match=r"found one that models.enlarge or models.average"
    ):
        average([made], begun, 0.5, data, tmp_path / "confusion.csv")
