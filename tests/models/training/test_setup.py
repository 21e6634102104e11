"""models.training.setup: sizes that fit, weights by the seed, what a run is."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.errors import DataError, RecipeError
from models.export.bundle import ExportOptions, export_checkpoint
from models.networks.binary import BinaryConv2d
from models.training.checkpoint import read_checkpoint
from models.training.distributed import Processes
from models.training.images import decode_splits, describe_splits
from models.training.run import run_training
from models.training.setup import describe_job, set_up
from tests.models.images import write_two_colours
from tests.models.jobs import RECIPE, make_job


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_two_colours(tmp_path / "data")
    return tmp_path / "data"


def test_stored_images_smaller_than_the_input_are_refused(data: Path, tmp_path: Path) -> None:
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


def test_weights_are_drawn_by_the_seed(data: Path, tmp_path: Path) -> None:
    device = torch.device("cpu")
    first, again = (set_up(make_job(data, tmp_path), device).network for _ in range(2))
    other = set_up(make_job(data, tmp_path, recipe=replace(RECIPE, seed=5)), device).network
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


def test_the_weights_of_a_bundle_begin_as_large_as_asked(data: Path, tmp_path: Path) -> None:
    run_training(make_job(data, tmp_path / "run"))
    checkpoint = read_checkpoint(tmp_path / "run" / "checkpoint.pt")
    quick = ExportOptions(parity_inputs=2, self_test=False)
    bundle = export_checkpoint(checkpoint, tmp_path / "bundle", quick)
    recipe = replace(RECIPE, latent=0.004)
    job = make_job(data, tmp_path / "next", start=bundle.path, recipe=recipe)
    network = set_up(job, torch.device("cpu")).network
    for module in network.modules():
        if isinstance(module, BinaryConv2d):
            assert torch.equal(module.weight.abs(), torch.full_like(module.weight, 0.004))


def test_latent_weights_that_have_sizes_keep_them(data: Path, tmp_path: Path) -> None:
    run_training(make_job(data, tmp_path / "run"))
    recipe = replace(RECIPE, latent=0.004)
    for start, found in ((None, "random initial weights"), (tmp_path / "run", "meliusnet13 on")):
        job = make_job(data, tmp_path / "next", start=start, recipe=recipe)
        with pytest.raises(RecipeError, match=rf"as --start for --latent; found {found}"):
            set_up(job, torch.device("cpu"))


def test_what_a_run_is_does_not_name_this_machine(data: Path, tmp_path: Path) -> None:
    job, device = make_job(data, tmp_path / "run", changes={"shift": 0.5}), torch.device("cpu")
    setup = set_up(job, device)
    images = decode_splits(job, setup.preprocessing, setup.stored_side)
    header = describe_job(job, setup, images, describe_splits(job.data), device, Processes())
    assert header.changes == {"shift": 0.5}
    assert header.stored_side == 16
    assert header.data.splits["train"].images == 12
    assert header.data.train_images + header.data.validation_images == 12
    assert header.execution["measure_every"] == 1
    assert str(tmp_path) not in repr(header)
