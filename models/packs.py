"""Packs: thousands of encoded pictures in one .npz file, or in a few of equal shares per class.

A pack holds `blob` (uint8, all files end to end), `offs` (int64, n + 1 offsets into it), `label`
(int64), `wnids` (the sorted class names that labels index) and `names` (the relative paths of the
files). Picture i is blob[offs[i]:offs[i + 1]].
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from models.errors import DataError
from models.picture_files import PictureFiles, join_files
from runtime import Preprocessing, decode_image, resize_and_crop

KEYS = ("blob", "offs", "label", "wnids", "names")


def find_packs(folder: Path, split: str) -> list[Path]:
    """FOLDER/SPLIT.npz, or its parts FOLDER/SPLIT-0.npz, ...; empty if there are none."""
    whole = folder / f"{split}.npz"
    parts = sorted(folder.glob(f"{split}-[0-9]*.npz"), key=lambda p: int(p.stem.split("-")[-1]))
    if whole.is_file() and parts:
        raise DataError(f"{folder}: expected {whole.name} or its parts; found both. Remove one.")
    return [whole] if whole.is_file() else parts


def read_packs(paths: list[Path]) -> PictureFiles:
    """The pictures of all parts, sorted by class and name, so that parts do not show.

    Raises DataError.
    """
    joined = join_files([read_pack(path) for path in paths])
    used = set(joined.labels)
    if missing := [name for i, name in enumerate(joined.classes) if i not in used]:
        # A pack may number its labels over the classes of a union; only what it holds counts.
        return _without_classes(joined, set(missing))
    return joined


def read_pack(path: Path) -> PictureFiles:
    """One pack, in memory. Raises DataError if it is none or if its arrays do not fit."""
    try:
        with np.load(path, allow_pickle=False) as pack:
            if missing := set(KEYS) - set(pack.files):
                raise DataError(f"{path}: the pack lacks {sorted(missing)}; found {pack.files}")
            blob, offs, label, wnids, names = (pack[key] for key in KEYS)
    except (OSError, EOFError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: expected a .npz pack; found {error}") from error
    fits = len(offs) == len(label) + 1 == len(names) + 1
    if not fits or offs[0] != 0 or (np.diff(offs) < 0).any() or offs[-1] > len(blob):
        raise DataError(
            f"{path}: {len(label)} labels, {len(names)} names, {len(offs)} offsets, "
            f"{len(blob)} bytes do not fit"
        )
    classes = tuple(str(name) for name in wnids)
    if len(label) and not (label.min() >= 0 and label.max() < len(classes)):
        raise DataError(f"{path}: expected labels below {len(classes)}, found {label.max()}")
    if sorted(set(classes)) != list(classes):
        raise DataError(f"{path}: expected sorted class names, each once; found {classes[:5]}")
    return PictureFiles(
        tuple(str(name) for name in names),
        tuple(int(number) for number in label),
        classes,
        lambda i: blob[offs[i] : offs[i + 1]].tobytes(),
    )


def write_packs(
    files: PictureFiles, folder: Path, split: str, parts: int = 1, side: int | None = None
) -> list[Path]:
    """Writes FOLDER/SPLIT.npz, or `parts` files with equal shares of each class.

    With `side` pictures are encoded anew as JPEG of quality 75: shorter side `side`, centre square.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = _in_order(files)
    paths = []
    for part in range(parts):
        path = folder / (f"{split}.npz" if parts == 1 else f"{split}-{part}.npz")
        _write_pack(files.select(order[part::parts]), path, side)
        paths.append(path)
    return paths


def _write_pack(files: PictureFiles, path: Path, side: int | None) -> None:
    blob, offs = io.BytesIO(), [0]
    for i in range(len(files)):
        data = files.read(i)
        blob.write(data if side is None else encode_anew(data, side))
        offs.append(blob.tell())
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as stream:
        np.savez(
            stream,
            blob=np.frombuffer(blob.getvalue(), np.uint8),
            offs=np.array(offs, np.int64),
            label=np.array(files.labels, np.int64),
            wnids=np.array(files.classes, np.str_),
            names=np.array(files.names, np.str_),
        )
    partial.replace(path)


def encode_anew(data: bytes, side: int, quality: int = 75) -> bytes:
    """A picture as JPEG, its shorter side `side`, the centre square. Raises InvalidImage."""
    square = Preprocessing(side, side, "bilinear", (0, 0, 0), (1, 1, 1))
    out = io.BytesIO()
    picture: Image.Image = resize_and_crop(decode_image(data), square)
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _in_order(files: PictureFiles) -> list[int]:
    """Indices by class, then name: neighbours go to different parts, so these are balanced."""
    return sorted(range(len(files)), key=lambda i: (files.labels[i], files.names[i]))


def _without_classes(files: PictureFiles, empty: set[str]) -> PictureFiles:
    kept = tuple(name for name in files.classes if name not in empty)
    index = {name: label for label, name in enumerate(kept)}
    labels = tuple(index[files.classes[label]] for label in files.labels)
    return PictureFiles(files.names, labels, kept, files.read)
