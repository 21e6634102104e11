"""models.training.job: the network that is asked for, or what is wrong with it."""

from pathlib import Path

import pytest

from models.errors import RecipeError
from models.training.job import build_network_of
from tests.models.images import write_two_colours
from tests.models.jobs import make_job


def test_the_network_has_the_classes_of_the_data(tmp_path: Path) -> None:
    write_two_colours(tmp_path)
    assert build_network_of(make_job(tmp_path, tmp_path / "run")).num_classes == 2
    with pytest.raises(RecipeError, match="meliusnet13 has no width"):
        build_network_of(make_job(tmp_path, tmp_path / "run", changes={"width": 2}))
