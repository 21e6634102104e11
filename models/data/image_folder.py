"""One's own folder of photos: the data set in it, and a recipe that fits their number.

PHOTOS has a sub-folder per class, named as the answers shall be. A share of each class is held back
and never trained on: the accuracy is measured on it, and the temperature fitted. Every file counts
as a photo, but for hidden ones; what cannot be decoded is named and refused, or left out on demand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.data.datasets import DataSet
from models.data.image_files import ImageFiles, read_folder
from models.data.packs import LIMITS
from models.data.splits import split_off
from models.errors import DataError
from runtime import InvalidImage, decode_image
from runtime.bundle import check_replaceable

HELD_BACK = 0.2  # of each class
FEW = 200  # photos; below and from scratch, small inputs: more pixels would be learned by heart
NETWORK, STEM = "meliusnet13", "grouped"
TRAINED = Path(__file__).parents[1] / "weights" / "meliusnet13.safetensors"  # to begin with
SEEN = 120_000  # images a training looks at, at most
EPOCHS = (20, 60)


def open_photos(folder: Path, held_back: float = HELD_BACK) -> DataSet:
    """Photos to train on and to hold back, a share of each class (models.data.split_off).

    Raises DataError: no sub-folders, an empty one, one with a single photo (or copies of one), the
    same photo in two, or a name that cannot be a label.
    """
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


def _check_copies(files: ImageFiles, folder: Path) -> None:
    """Raises DataError if a photo is said to be of two classes."""
    first: dict[bytes, int] = {}
    for i, name in enumerate(files.names):
        other = first.setdefault(files.digest(i), i)
        if files.labels[other] != files.labels[i] and _is_image(files.read(i)):
            raise DataError(
                f"{folder}: expected every photo in one class; found the same one as "
                f"{files.names[other]} and {name}. Remove one of them."
            )


def _is_image(data: bytes) -> bool:
    """Not so: files that other programs leave in every folder, for --skip-damaged to leave out."""
    try:
        decode_image(data, LIMITS)
    except InvalidImage:
        return False
    return True


def choose_defaults(photos: int, learned: bool = True) -> dict[str, Any]:
    """Options for so many training photos, by the names of models.train; given ones go before.

    learned: begin with this repository's weights, of which the last layer alone is fitted.
    """
    few = photos < FEW
    always = {
        "network": NETWORK,
        "stem": STEM,
        "batch": 16 if few else 64,
        "min_area": 0.35,  # 0.08, the published least, asks for more epochs
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
        "threads": 1 if few else None,  # maps this small: a second thread mostly waits
    }


def find_run_folder(bundle: Path) -> Path:
    """Where checkpoint and record of the training go: beside the bundle.

    Raises DataError, before anything is trained, if the bundle could not be written in the end, or
    would replace a bundle of which no training is here to go on with.
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
