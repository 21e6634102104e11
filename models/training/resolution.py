"""Adapts a trained network to larger images than it was trained on.

Means and variances of the batch norms are estimated again on training images of the new size, with
centre crops; all weights stay. Then the temperature is fitted and the test split is measured, as at
the end of a training.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from models.data.augmentation import normalize
from models.data.datasets import DataSet
from models.data.decoded import LabelledImages, decode_images
from models.data.splits import hold_back
from models.errors import CheckpointMismatch, RecipeError
from models.evaluation.final import measure_final
from models.records.figures import Adaptation
from models.records.provenance import describe_code, describe_device
from models.training.checkpoint import (
    Checkpoint,
    build_trained,
)
from models.training.images import describe_splits
from runtime.images import Preprocessing

IMAGES = 3000  # to estimate means and variances on
BATCH = 100
SEED = 123


@torch.no_grad()
def estimate_batch_norms(
    network: nn.Module, images: LabelledImages, preprocessing: Preprocessing
) -> None:
    """Sets the means and variances of all batch norms to those of `images`, in eval mode after.

    Each is the mean over batches of about BATCH images; the images come in a random order.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
            module.momentum = None  # all batches count alike
    network.train()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))
    for part in order.chunk(-(-len(images) // BATCH)):
        network(normalize(images.pixels[part], preprocessing))
    network.eval()


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
    _check(checkpoint, data, preprocessing)
    images = _decode(checkpoint, data, preprocessing, progress)
    network = build_trained(checkpoint)
    estimate_batch_norms(network, images["train"], preprocessing)
    final = measure_final(
        *(network, images.get("test"), images.get("validation"), preprocessing),
        *(checkpoint.data.labels, table),
        progress=progress,
    )
    return replace(
        checkpoint,
        data=replace(checkpoint.data, splits=describe_splits(data)),
        preprocessing=preprocessing,
        state=replace(checkpoint.state, model=network.state_dict()),
        test=final.test,
        calibration=final.calibration,
        adaptation=Adaptation(
            trained_as=checkpoint.preprocessing,
            train_images=len(images["train"]),
            validation=final.validation,
            device=describe_device(torch.device("cpu")),
            threads=torch.get_num_threads(),
            torch=str(torch.__version__),
            **describe_code(),
        ),
    )


def _check(checkpoint: Checkpoint, data: DataSet, preprocessing: Preprocessing) -> None:
    if checkpoint.adaptation:
        raise CheckpointMismatch(
            "expected the run of a training; found one that models.enlarge made. Give the run that "
            "it was made from."
        )
    if not checkpoint.finished:
        raise CheckpointMismatch(
            "expected a finished training; found an unfinished one. Let it "
            "finish (models.train --resume)."
        )
    trained = checkpoint.preprocessing
    if preprocessing.crop <= trained.crop:
        raise RecipeError(
            f"expected --image-size above the {trained.crop} pixels that the network was "
            f"trained on; found {preprocessing.crop}"
        )
    found = {name: files.sha256() for name, files in data.parts().items()}
    if found != checkpoint.data.digests():
        raise CheckpointMismatch(
            f"expected the images that the network was trained on ({checkpoint.data.name}); "
            "found others. Give the same data."
        )


def _decode(
    checkpoint: Checkpoint, data: DataSet, preprocessing: Preprocessing, progress: bool
) -> dict[str, LabelledImages]:
    """Of each split that has images; of train those to estimate means and variances on."""
    parts = hold_back(data, checkpoint.recipe.validation_share)
    generator = torch.Generator().manual_seed(SEED)
    chosen = torch.randperm(len(parts.train), generator=generator)[:IMAGES]
    files = {
        "train": parts.train.select(sorted(chosen.tolist())),
        "validation": parts.validation,
        "test": parts.test,
    }
    return {
        name: decode_images(
            part,
            preprocessing,
            title=f"decoding {name}",
            progress=progress,
            skip_damaged=bool(checkpoint.data.skipped),  # those that the training left out
        )
        for name, part in files.items()
        if part is not None and len(part)
    }
