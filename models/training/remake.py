"""What a network needs that was changed after its training: batch norms, a temperature, figures.

Means and variances of the batch norms are estimated again on training images, with centre crops.
Then the temperature is fitted and the test split is measured, as at the end of a training.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from models.data.datasets import DataSet
from models.data.decoded import LabelledImages, decode_images
from models.data.splits import hold_back
from models.errors import CheckpointMismatch
from models.evaluation.final import FinalFigures, measure_final
from models.networks.meliusnet import use_kernels
from models.networks.registry import Network
from models.records.provenance import describe_code, describe_device
from models.records.record import RECORD, write_record
from models.training.batch_norms import choose_images, estimate_batch_norms
from models.training.checkpoint import CHECKPOINT, Checkpoint, save_checkpoint
from models.training.images import describe_splits
from models.training.run import make_record
from runtime.images import Preprocessing


def check_finished(checkpoint: Checkpoint, data: DataSet) -> None:
    """Raises CheckpointMismatch if the training has not ended, the network was changed after it, or
    the images or their classes are others.
    """
    if checkpoint.remade:
        raise CheckpointMismatch(
            "expected the run of a training; found one that models.enlarge or models.average made. "
            "Give the run that it was made from."
        )
    if not checkpoint.finished:
        raise CheckpointMismatch(
            "expected a finished training; found an unfinished one. Let it "
            "finish (models.train --resume)."
        )
    if checkpoint.data.classes != tuple(data.train.classes):
        raise CheckpointMismatch(
            "expected a network of the data's own classes; found one of "
            f"{len(checkpoint.data.classes)} others (models.train --labels). It cannot be measured "
            "on this data."
        )
    found = {name: files.sha256() for name, files in data.parts().items()}
    if found != checkpoint.data.digests():
        raise CheckpointMismatch(
            f"expected the images that the network was trained on ({checkpoint.data.name}); "
            "found others. Give the same data."
        )


def decode_again(
    checkpoint: Checkpoint, data: DataSet, preprocessing: Preprocessing, progress: bool
) -> dict[str, LabelledImages]:
    """Of each split that has images; of train those to estimate means and variances on."""
    parts = hold_back(data, checkpoint.recipe.validation_share)
    files = {
        "train": parts.train.select(choose_images(len(parts.train)).tolist()),
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


def finish_again(
    checkpoint: Checkpoint,
    network: Network,
    images: dict[str, LabelledImages],
    data: DataSet,
    preprocessing: Preprocessing,
    table: Path,
    progress: bool = False,
) -> tuple[Checkpoint, dict[str, Any]]:
    """The checkpoint with a changed network, and the fields of Remade.

    images: as decode_again gives them. Writes the confusion table, a .csv file.
    """
    if checkpoint.execution.get("kernels"):  # as it was trained, on a CPU
        use_kernels(network)
    estimate_batch_norms(network, images["train"], preprocessing)
    final = measure_final(
        *(network, images.get("test"), images.get("validation"), preprocessing),
        *(checkpoint.data.labels, table),
        progress=progress,
    )
    made = replace(
        checkpoint,
        data=replace(checkpoint.data, splits=describe_splits(data)),
        preprocessing=preprocessing,
        state=replace(checkpoint.state, model=network.state_dict()),
        test=final.test,
        calibration=final.calibration,
    )
    return made, {
        "train_images": len(images["train"]),
        "validation": final.validation,
        "device": describe_device(torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        **describe_code(),
    }


def check_new(out: Path) -> None:
    """Raises CheckpointMismatch unless `out` may become the folder of a run."""
    if out.exists() and any(out.iterdir()):
        raise CheckpointMismatch(f"expected --out to be a new folder; {out} has files in it")


def write_remade(out: Path, made: Checkpoint) -> None:
    """Checkpoint and record."""
    write_record(out / RECORD, make_record(made))
    save_checkpoint(out / CHECKPOINT, made)


def tell_remade(made: Checkpoint) -> FinalFigures:
    """The figures to print."""
    validation = made.remade.validation if made.remade else None
    return FinalFigures(made.test, made.calibration, validation)
