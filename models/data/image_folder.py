"""A user's own folder of photos: the data set in it, and a recipe that fits the number of photos.

PHOTOS has a sub-folder per class; its name becomes the label. A share of each class is held back
and never trained on: the accuracy is measured on it, and the temperature is fitted on it. Every
file counts as a photo, except hidden ones. A file that cannot be decoded is an error that names it,
or is left out if the user asks for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.data.datasets import DataSet
from models.data.image_files import ImageFiles, list_folders, read_folder
from models.data.packs import LIMITS
from models.data.splits import split_off
from models.errors import DataError
from runtime import InvalidImage, decode_image
from runtime.bundle import check_replaceable

SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
HELD_BACK = 0.2  # of each class
FEW = 200  # photos; with fewer, a training from scratch has small inputs, or it would overfit
NETWORK, STEM = "meliusnet13", "grouped"
TRAINED = Path(__file__).parents[1] / "weights" / "meliusnet13.safetensors"  # the initial weights
SEEN = 120_000  # max images that a training from scratch sees
EPOCHS = (20, 60)


def open_photos(folder: Path, held_back: float = HELD_BACK) -> DataSet:
    """Photos to train on and to hold back, a share of each class (models.data.split_off).

    Raises DataError: no sub-folders, an empty one, one with a single photo (or copies of one), the
    same photo in two, a name that cannot be a label, or splits of a data set instead of classes.
    """
    _check_splits(folder)
    files = read_folder(folder, every_file=True)
    _check_copies(files, folder)
    train, validation = split_off(files, held_back)
    measured = validation.counts()
    for name, count in files.counts().items():
        if not measured[name]:
            raise DataError(
                f"{folder / name}: expected at least 2 photos of a class, one of them to measure "
                f"with; found {count}{' copies of one' if count > 1 else ''}. Add photos, or "
                "remove the folder."
            )
    return DataSet(folder.resolve().name, train, validation, None, files.classes)


def _check_splits(folder: Path) -> None:
    """Raises DataError for a data set's folder: train/ and others, with the classes inside.

    A folder `train` alone may be the class of trains.
    """
    found = list_folders(folder)
    are_splits = len(found) > 1 and all(path.name.lower() in SPLITS for path in found)
    if are_splits and any(map(list_folders, found)):
        raise DataError(
            f"{folder}: expected a sub-folder per class; found the splits of a data set, "
            f"{', '.join(path.name for path in found)}, with classes in them. Give --data "
            f"{folder} instead of --folder: it reads train/, val/ and test/."
        )


def _check_copies(files: ImageFiles, folder: Path) -> None:
    """Raises DataError if a photo is in two classes."""
    first: dict[bytes, int] = {}
    for i, name in enumerate(files.names):
        other = first.setdefault(files.digest(i), i)
        if files.labels[other] != files.labels[i] and _is_image(files.read(i)):
            raise DataError(
                f"{folder}: expected every photo in one class; found the same one as "
                f"{files.names[other]} and {name}. Remove one of them."
            )


def _is_image(data: bytes) -> bool:
    """False for files that other programs leave in folders; --skip-damaged leaves them out."""
    try:
        decode_image(data, LIMITS)
    except InvalidImage:
        return False
    return True


def choose_defaults(photos: int, learned: bool = True) -> dict[str, Any]:
    """Default options for this number of training photos, named as in models.train.

    learned: initialised from this repository's weights; only the last layer is fitted.
    """
    few = photos < FEW
    always = {
        "network": NETWORK,
        "stem": STEM,
        "batch": 16 if few else 64,
        "min_area": 0.35,  # 0.08, the published value, needs more epochs
        "validation_share": HELD_BACK,
        "channels_last": True,
    }
    if learned:
        return {**always, "start": TRAINED, "image_size": 128, "epochs": 0, "learning_rate": 0.0005}
    return {
        **always,
        "image_size": 64 if few else 128,
        "epochs": min(max(SEEN // max(photos, 1), EPOCHS[0]), EPOCHS[1]),
        "learning_rate": 0.003,
        "threads": 1 if few else None,  # with maps this small a second thread mostly waits
    }


def find_run_folder(bundle: Path) -> Path:
    """Where checkpoint and record of the training go: beside the bundle.

    Raises DataError, before anything is trained, if the bundle could not be written in the end, or
    would replace a bundle that no training beside it has made.
    """
    if bundle.name in ("", ".."):
        raise DataError(f"expected the name of a new folder for the bundle, found {bundle}")
    try:
        check_replaceable(bundle)
    except FileExistsError as error:
        raise DataError(str(error)) from error
    run = bundle.with_name(f"{bundle.name}-training")
    if bundle.is_dir() and any(bundle.iterdir()) and not run.exists():
        raise DataError(
            f"{bundle}: expected a new or empty folder; found a bundle in it, and no {run.name} "
            "beside it. Choose another folder with --out, or remove the bundle."
        )
    return run
