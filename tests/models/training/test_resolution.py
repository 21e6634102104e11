"""models.training.resolution: a trained network for larger images, with the same weights."""

from dataclasses import replace
from pathlib import Path

import pytest

from models.data.datasets import open_data_set
from models.errors import RecipeError
from models.training.resolution import adapt_resolution
from models.training.run import run_training
from tests.models.images import write_two_colours
from tests.models.jobs import make_job


def test_only_larger_images_are_adapted_to(tmp_path: Path) -> None:
    write_two_colours(tmp_path / "data")
    trained = run_training(make_job(tmp_path / "data", tmp_path / "run"))
    data, table = open_data_set(tmp_path / "data"), tmp_path / "confusion.csv"
    for side in (8, 16):
        smaller = replace(trained.preprocessing, crop=side)
        with pytest.raises(RecipeError, match="above the 16 pixels that the network was trained"):
            adapt_resolution(trained, data, smaller, table)
    larger = replace(trained.preprocessing, resize=36, crop=32)
    made = adapt_resolution(trained, data, larger, table)
    assert made.preprocessing == larger
    assert made.adaptation is not None
    assert made.adaptation.trained_as == trained.preprocessing
    assert made.remade == made.adaptation
