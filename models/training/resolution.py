"""Adapts a trained network to larger images than it was trained on.

All weights stay; means and variances of the batch norms are those of images of the new size.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from models.data.datasets import DataSet
from models.errors import RecipeError
from models.records.figures import Adaptation
from models.training.checkpoint import Checkpoint, build_trained
from models.training.remake import check_finished, decode_again, finish_again
from runtime.images import Preprocessing


def adapt_resolution(
    checkpoint: Checkpoint,
    data: DataSet,
    preprocessing: Preprocessing,
    table: Path,
    progress: bool = False,
) -> Checkpoint:
    """The checkpoint of the same network for `preprocessing`.

    checkpoint: of a finished training. Writes the confusion table, a .csv file. Raises
    CheckpointMismatch if the training has not ended, or was on other images; RecipeError if its
    images were as large; DataError.
    """
    trained = checkpoint.preprocessing
    if preprocessing.crop <= trained.crop:
        raise RecipeError(
            f"expected --image-size above the {trained.crop} pixels that the network was "
            f"trained on; found {preprocessing.crop}"
        )
    check_finished(checkpoint, data)
    images = decode_again(checkpoint, data, preprocessing, progress)
    network = build_trained(checkpoint)
    made, how = finish_again(checkpoint, network, images, data, preprocessing, table, progress)
    return replace(made, adaptation=Adaptation(trained_as=trained, **how))
