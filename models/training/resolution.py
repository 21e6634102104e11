"""Makes a trained network one for larger pictures than it was trained on.

Means and variances of the batch norms are estimated anew on training pictures of the new size, seen
as photos are; all weights stay. Then the temperature is fitted and the test part measured, as at
the end of a training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from models.data.augmentation import normalize
from models.data.datasets import DataSet
from models.data.decoded import LabelledImages, decode_pictures
from models.data.splits import hold_back
from models.errors import CheckpointMismatch, RecipeError
from models.evaluation.final import measure_outcome
from models.records.provenance import describe_code, describe_device
from models.training.checkpoint import (
    build_trained,
    is_finished,
)
from models.training.run import RECORDED
from runtime.images import Preprocessing

PICTURES = 3000  # to estimate means and variances on
BATCH = 100
SEED = 123


@torch.no_grad()
def estimate_batch_norms(
    network: nn.Module, images: LabelledImages, preprocessing: Preprocessing
) -> None:
    """Sets the means and variances of all batch norms to those of `images`, in eval mode after.

    Each is the mean over batches of about BATCH pictures; the pictures come in a random order.
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


def enlarge(
    content: Mapping[str, Any],
    data: DataSet,
    preprocessing: Preprocessing,
    table: Path,
    progress: bool = False,
) -> dict[str, Any]:
    """The content of a checkpoint for `preprocessing`.

    content: of a finished training's checkpoint. Writes the confusion table, a .csv file. Raises
    CheckpointMismatch if the training has not ended, or was on other pictures; RecipeError if its
    pictures were as large; DataError.
    """
    if lacking := sorted(RECORDED - content.keys()):
        raise CheckpointMismatch(
            f"expected a checkpoint of a whole training; it lacks {', '.join(lacking)}. Train anew "
            "with this code."
        )
    if content.get("enlarged"):
        raise CheckpointMismatch(
            "expected the run of a training; found one that models.enlarge made. Give the run that "
            "it was made of."
        )
    if not is_finished(content):
        raise CheckpointMismatch(
            "expected a training that has run through its recipe; found one that has not. Let it "
            "finish (models.train --resume)."
        )
    trained = content["preprocessing"]
    if preprocessing.crop <= trained["crop"]:
        raise RecipeError(
            f"expected --image-size above the {trained['crop']} pixels that the network was "
            f"trained on; found {preprocessing.crop}"
        )
    if {name: part.sha256() for name, part in data.parts().items()} != content["data_sha256"]:
        raise CheckpointMismatch(
            f"expected the pictures that the network was trained on ({content['data']}); found "
            "others. Give the same data."
        )
    parts = hold_back(data, content["state"]["recipe"]["validation_share"])
    generator = torch.Generator().manual_seed(SEED)
    chosen = torch.randperm(len(parts.train), generator=generator)[:PICTURES]
    files = {
        "train": parts.train.select(sorted(chosen.tolist())),
        "validation": parts.validation,
        "test": parts.test,
    }
    images = {
        name: decode_pictures(
            part,
            preprocessing,
            title=f"decoding {name}",
            progress=progress,
            skip_damaged=bool(content["skipped"]),  # those that the training left out
        )
        for name, part in files.items()
        if part is not None and len(part)
    }
    network = build_trained(content)
    estimate_batch_norms(network, images["train"], preprocessing)
    test, calibration, seen = measure_outcome(
        *(network, images.get("test"), images.get("validation"), preprocessing),
        *(content["labels"], table),
        progress=progress,
    )
    return {
        **content,
        "preprocessing": asdict(preprocessing),
        "state": {**content["state"], "model": network.state_dict()},
        "test": test,
        "calibration": calibration,
        "enlarged": {
            "from": trained,
            "train_images": len(images["train"]),
            "validation": seen,
            "device": describe_device(torch.device("cpu")),
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
            **describe_code(),
        },
    }
