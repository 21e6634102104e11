"""Packs: thousands of encoded images in one .npz file, or in a few of them, its shards.

A file holds `blob` (uint8, all images end to end), `offs` (int64, n + 1 offsets into it), `label`
(int64), `wnids` (the sorted class names that labels index) and `names` (the relative paths of the
images). Image i is blob[offs[i]:offs[i + 1]]. Shards have equal shares of each class.
"""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from models.data.image_files import ImageFiles, join_files
from models.errors import DamagedImages, DataError
from runtime import ImageLimits, InvalidImage, Preprocessing, decode_image, resize_and_crop

KEYS: dict[str, Any] = {
    "blob": np.uint8,
    "offs": np.integer,  # other programs number in int32, too
    "label": np.integer,
    "wnids": np.str_,
    "names": np.str_,
}
# Our own files, not uploads of strangers: as large as the decoder accepts.
LIMITS = ImageLimits(max_bytes=2**30, max_pixels=89_000_000, max_scans=1000)
#: what numpy raises for a file of arrays that is cut or damaged
NUMPY_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
)


def find_packs(folder: Path, split: str) -> list[Path]:
    """FOLDER/SPLIT.npz, or its shards FOLDER/SPLIT-0.npz, ...; empty if there are none.

    Raises DataError if both are there, and for a shard without a number.
    """
    whole = folder / f"{split}.npz"
    numbers = {path: path.stem.removeprefix(f"{split}-") for path in folder.glob(f"{split}-*.npz")}
    if strange := [path.name for path, number in numbers.items() if not number.isdecimal()]:
        raise DataError(
            f"{folder}: expected {whole.name}, or shards named {split}-0.npz and so on; found "
            f"{strange[0]}. Rename or remove it."
        )
    parts = sorted(numbers, key=lambda path: int(numbers[path]))
    if whole.is_file() and parts:
        raise DataError(f"{folder}: expected {whole.name} or its shards; found both. Remove one.")
    return [whole] if whole.is_file() else parts


def check_no_images(folder: Path, splits: Sequence[str]) -> None:
    """Raises DataError if the folder has images of these splits, which packs would mix with."""
    for split in splits:
        if find_packs(folder, split) or (folder / split).exists():
            raise DataError(
                f"{folder}: expected a folder without {split} images; found some. Give "
                "another --out, or remove them."
            )


def read_packs(paths: list[Path]) -> ImageFiles:
    """The images of all shards, sorted by class and name: the same for any number of shards.

    Raises DataError.
    """
    joined = join_files([read_pack(path) for path in paths])
    used = set(joined.labels)
    if missing := [name for i, name in enumerate(joined.classes) if i not in used]:
        # A pack may number its labels over the classes of a union; only what it holds counts.
        return _without_classes(joined, set(missing))
    return joined


def read_pack(path: Path) -> ImageFiles:
    """One pack, in memory. Raises DataError if it is none or if its arrays do not fit."""
    blob, offs, label, wnids, names = _read_arrays(path)
    offs = offs.astype(np.int64)  # unsigned differences are never below 0
    fits = len(offs) == len(label) + 1 == len(names) + 1
    if not fits or offs[0] != 0 or (np.diff(offs) < 0).any() or offs[-1] > len(blob):
        raise DataError(
            f"{path}: {len(label)} labels, {len(names)} names, {len(offs)} offsets, "
            f"{len(blob)} bytes do not fit. Pack the images again."
        )
    classes = tuple(str(name) for name in wnids)
    if len(label) and not (label.min() >= 0 and label.max() < len(classes)):
        raise DataError(f"{path}: expected labels below {len(classes)}, found {label.max()}")
    if sorted(set(classes)) != list(classes):
        raise DataError(f"{path}: expected sorted class names, each once; found {classes[:5]}")
    return ImageFiles(
        tuple(str(name) for name in names),
        tuple(int(number) for number in label),
        classes,
        lambda i: blob[offs[i] : offs[i + 1]].tobytes(),
    )


def _read_arrays(path: Path) -> list[np.ndarray]:
    """The arrays of KEYS, in this order. Raises DataError."""
    try:
        with path.open("rb") as stream:  # numpy would leave it open where it is damaged
            pack = np.load(stream, allow_pickle=False)
            if isinstance(pack, np.ndarray):
                raise DataError(f"{path}: expected a .npz pack; found a single array")
            if missing := set(KEYS) - set(pack.files):
                raise DataError(f"{path}: the pack lacks {sorted(missing)}; found {pack.files}")
            arrays = {key: pack[key] for key in KEYS}
    except DataError:
        raise
    except NUMPY_DAMAGE as error:
        raise DataError(
            f"{path}: expected a .npz pack; found {error}. If it is damaged, copy it or pack the "
            "images again."
        ) from error
    for key, array in arrays.items():
        fits = array.size == 0 or np.issubdtype(array.dtype, KEYS[key])  # an empty list has no type
        if array.ndim != 1 or not fits:
            raise DataError(
                f"{path}: expected {key} as a list of {KEYS[key].__name__.rstrip('_')}; found "
                f"{array.dtype} of shape {array.shape}. Pack the images again."
            )
    return list(arrays.values())


@contextmanager
def fill_together(folder: Path) -> Iterator[Path]:
    """A hidden folder in `folder`; at the end its files are moved into `folder`, unless one failed.

    An incomplete set would be read as another set. A process that is killed leaves the hidden
    folder, or at worst some files without test.npz, which is moved last.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    placed: list[Path] = []
    try:
        with TemporaryDirectory(dir=folder, prefix=".") as partial:
            yield Path(partial)
            for path in sorted(Path(partial).iterdir(), reverse=True):
                placed.append(path.replace(folder / path.name))
    except BaseException:
        for path in placed:
            path.unlink()
        if is_new and not any(folder.iterdir()):
            folder.rmdir()
        raise


def write_packs(
    files: ImageFiles, folder: Path, split: str, shards: int = 1, side: int | None = None
) -> list[Path]:
    """Writes FOLDER/SPLIT.npz, or `shards` files with equal shares of each class.

    With `side`, the centre square of larger images is encoded again, as JPEG of quality 75 with
    that side. Write the packs of one set into `fill_together`. Raises DamagedImages, which names
    the images that cannot be encoded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = _in_order(files)
    paths = []
    for shard in range(shards):
        path = folder / (f"{split}.npz" if shards == 1 else f"{split}-{shard}.npz")
        _write_pack(files.select(order[shard::shards]), path, side)
        paths.append(path)
    return paths


def _write_pack(files: ImageFiles, path: Path, side: int | None) -> None:
    blob, offs = io.BytesIO(), [0]
    faults: list[str] = []
    for i in range(len(files)):
        data = files.read(i)
        try:
            blob.write(data if side is None else encode_anew(data, side))
        except InvalidImage as error:
            faults.append(f"{files.names[i]}: {error}")
        offs.append(blob.tell())
    if faults:
        raise DamagedImages(faults, len(files), can_skip=False)
    np.savez(
        path,
        blob=np.frombuffer(blob.getvalue(), np.uint8),
        offs=np.array(offs, np.int64),
        label=np.array(files.labels, np.int64),
        wnids=np.array(files.classes, np.str_),
        names=np.array(files.names, np.str_),
    )


def encode_anew(data: bytes, side: int, quality: int = 75) -> bytes:
    """The centre square of an image as JPEG of this side; the file unchanged if no side of the
    image is longer. Raises InvalidImage.
    """
    return encode_square(decode_image(data, LIMITS), data, side, quality)


def encode_square(original: Image.Image, data: bytes, side: int, quality: int) -> bytes:
    """As `encode_anew`, of an image that is decoded already from the file `data`."""
    if max(original.size) <= side:
        return data
    side = min(side, *original.size)  # nothing is gained by making it larger
    square = Preprocessing(side, side, "bilinear", (0, 0, 0), (1, 1, 1))
    image: Image.Image = resize_and_crop(original, square)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _in_order(files: ImageFiles) -> list[int]:
    """Indices by class and name; neighbours go to different shards, so that these are balanced."""
    return sorted(range(len(files)), key=lambda i: (files.labels[i], files.names[i]))


def _without_classes(files: ImageFiles, empty: set[str]) -> ImageFiles:
    kept = tuple(name for name in files.classes if name not in empty)
    index = {name: label for label, name in enumerate(kept)}
    labels = tuple(index[files.classes[label]] for label in files.labels)
    return ImageFiles(files.names, labels, kept, files.read)
