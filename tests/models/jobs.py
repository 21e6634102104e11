"""Trainings of tiny networks on data sets that tests wrote."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from models.data.datasets import open_data_set
from models.training.job import Job
from models.training.recipe import Recipe

RECIPE = Recipe(epochs=2, batch=4, validation_share=0.2)


def make_job(folder: Path, out: Path, **options: Any) -> Job:
    """Of a MeliusNet13 for 16 pixels; options are fields of the job."""
    job = Job("meliusnet13", open_data_set(folder), out, RECIPE, image_size=16, progress=False)
    return replace(job, **options)
