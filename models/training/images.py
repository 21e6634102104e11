"""The images of a training: chosen from each split, and decoded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tqdm import tqdm

from models.data.datasets import DataSet
from models.data.decoded import LabelledImages, decode_images
from models.data.image_files import ImageFiles
from models.data.preprocessing import whole_preprocessing
from models.data.splits import hold_back
from models.errors import DamagedImages, DataError
from models.records.training_run import Split
from models.training.job import Job
from runtime.images import Preprocessing


@dataclass(frozen=True)
class Images:
    """train: whole squares to cut crops out of; the others as the network sees them."""

    train: LabelledImages
    validation: LabelledImages | None
    test: LabelledImages | None
    skipped: tuple[str, ...]  # a line for each damaged file, of all splits


def describe_splits(data: DataSet) -> dict[str, Split]:
    """How many images each split has, and which."""
    return {name: Split(len(files), files.sha256()) for name, files in data.parts().items()}


def decode_splits(
    job: Job, preprocessing: Preprocessing, stored_side: int, shows: bool = False
) -> Images:
    """Decodes all splits before a training, which may take days; names all damaged images.

    Raises DamagedImages; DataError if a class has no images of a split, or has lost them.
    """
    splits, copies = _split(job)
    if copies and shows:
        tqdm.write(f"{copies} training images left out: copies of validation or test images")
    decoded: dict[str, LabelledImages] = {}
    faults: list[str] = []
    for name, files in splits.items():
        try:
            decoded[name] = decode_images(
                files,
                whole_preprocessing(stored_side) if name == "train" else preprocessing,
                title=f"decoding {name}",
                progress=shows,
                workers=job.workers,
                skip_damaged=job.skip_damaged,
                cache=job.cache,
            )
        except DamagedImages as error:
            faults += error.faults
    if faults:
        raise DamagedImages(faults, sum(map(len, splits.values())))
    for name, files in splits.items():
        _check_classes(files, decoded[name], f"{job.data.name}, {name} split")
    return Images(
        decoded["train"],
        decoded.get("validation"),
        decoded.get("test"),
        tuple(line for images in decoded.values() for line in images.skipped),
    )


def _split(job: Job) -> tuple[dict[str, ImageFiles], int]:
    """The splits that have images, and how many are left out: copies of test images, and of
    validation images to train on.

    Raises DataError if a class has no other images.
    """
    parts = hold_back(job.data, job.recipe.validation_share).parts()
    left_out = sum(map(len, job.data.parts().values())) - sum(map(len, parts.values()))
    return {name: files for name, files in parts.items() if len(files)}, left_out


def _check_classes(files: ImageFiles, images: LabelledImages, where: str) -> None:
    """Raises DataError if a class has lost all its images of a split."""
    decoded = torch.bincount(images.labels, minlength=len(images.classes)).tolist()
    had = files.counts().values()
    if lost := [c for c, n, m in zip(files.classes, had, decoded, strict=True) if n and not m]:
        raise DataError(
            f"{where}: expected at least one image of every class; all images are damaged of "
            f"{', '.join(lost[:5])}. Repair or remove these files:\n  "
            + "\n  ".join(images.skipped[: DamagedImages.SHOWN])
        )
