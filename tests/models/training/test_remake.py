"""models.training.remake: batch norms of a network that was changed after its training."""

from dataclasses import replace
from pathlib import Path

import pytest

from models.data.datasets import open_data_set
from models.errors import CheckpointMismatch
from models.training.checkpoint import read_checkpoint
from models.training.remake import check_finished
from models.training.run import run_training
from tests.models.images import write_two_colours
from tests.models.jobs import RECIPE, make_job


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_two_colours(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Path:
    recipe = replace(RECIPE, epochs=1)
    run_training(make_job(data, tmp_path / "run", recipe=recipe, resize=18))
    return tmp_path / "run"


def test_a_network_of_other_classes_than_the_data_has_is_refused(run: Path, data: Path) -> None:
    """As students of the teachers' classes are: the data cannot measure them."""
    content = read_checkpoint(run / "checkpoint.pt")
    other = replace(content, data=replace(content.data, classes=("tench", "goldfish", "crane")))
    with pytest.raises(CheckpointMismatch, match="expected a network of the data's own classes"):
        check_finished(other, open_data_set(data))
    check_finished(content, open_data_set(data))
