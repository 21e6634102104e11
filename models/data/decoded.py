"""Labelled images in memory, decoded once, as the network sees them.

Images are decoded to uint8 by the code that the service uses (runtime.images), so that
training, evaluation and serving see the same pixels.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
import torch
from torch import Tensor
from tqdm import tqdm

from models.data.image_files import ImageFiles
from models.data.packs import (
    LIMITS,
    NUMPY_DAMAGE,
    fill_together,
)
from models.errors import DamagedImages, DataError
from runtime import ImageReader, InvalidImage, Preprocessing

CACHE_FORMAT = 1


@dataclass(frozen=True)
class LabelledImages:
    """pixels uint8 [N, 3, S, S], labels int64 [N] that index classes.

    `skipped` has a line for each damaged file that was left out: its name and what is wrong.
    """

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # of the files that they were decoded from

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> LabelledImages:
        pixels, labels = self.pixels.to(device), self.labels.to(device)
        return LabelledImages(pixels, labels, self.classes, self.skipped, self.names)

    def select(self, index: Tensor) -> LabelledImages:
        return LabelledImages(self.pixels[index], self.labels[index], self.classes)


def decode_images(
    files: ImageFiles,
    preprocessing: Preprocessing,
    *,
    title: str = "decoding",
    progress: bool = False,
    workers: int = 2,
    skip_damaged: bool | None = None,
    cache: Path | None = None,
) -> LabelledImages:
    """All images as the network sees them, in the order of `files`, with any number of `workers`.

    With a `cache` folder the pixels are kept there as one file and mapped the next time.
    skip_damaged: None if the command has no such option; then the error does not advise it.
    Raises DamagedImages naming the files, unless they are to be skipped; DataError if none is
    left, or if the file in the cache is damaged.
    """
    kept = None if cache is None else cache / f"{_cache_key(files, preprocessing)}.npy"
    shape = (len(files), 3, preprocessing.crop, preprocessing.crop)
    if kept is not None and kept.is_file():
        pixels = _map(kept, shape)
        return LabelledImages(
            torch.from_numpy(pixels), torch.tensor(files.labels), files.classes, (), files.names
        )
    pixels = np.empty(shape, np.uint8)
    reader = ImageReader(preprocessing, LIMITS)

    def decode(i: int) -> str | None:
        try:
            image = reader.read_pixels(files.read(i))
        except (InvalidImage, OSError) as error:
            return f"{files.names[i]}: {error}"
        pixels[i] = np.asarray(image).transpose(2, 0, 1)
        return None

    with ThreadPoolExecutor(workers) as pool:
        bar = tqdm(
            pool.map(decode, range(len(files))),
            title,
            len(files),
            disable=None if progress else True,
            unit="img",
            leave=False,
        )
        faults = list(bar)
    damaged = [fault for fault in faults if fault is not None]
    labels = torch.tensor(files.labels, dtype=torch.int64)
    if not damaged:
        if kept is not None:
            _keep(kept, pixels)
        return LabelledImages(torch.from_numpy(pixels), labels, files.classes, (), files.names)
    if not skip_damaged:
        raise DamagedImages(damaged, len(files), can_skip=skip_damaged is not None)
    good = torch.tensor([i for i, fault in enumerate(faults) if fault is None], dtype=torch.int64)
    if not len(good):
        raise DataError(f"all of {len(files)} files are damaged; the first: {damaged[0]}")
    return LabelledImages(
        torch.from_numpy(pixels)[good],
        labels[good],
        files.classes,
        tuple(damaged),
        tuple(files.names[i] for i in good.tolist()),
    )


def _cache_key(files: ImageFiles, preprocessing: Preprocessing) -> str:
    geometry: tuple[object, ...] = (
        *(preprocessing.resize, preprocessing.crop, preprocessing.interpolation),
        *(() if preprocessing.reduce is None else (preprocessing.reduce,)),
    )
    text = f"{CACHE_FORMAT} {PIL.__version__} {geometry} {files.sha256()}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _map(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The pixels that _keep wrote. Raises DataError, so that a damaged disk is noticed."""
    try:
        pixels = np.load(path, mmap_mode="c")
    except NUMPY_DAMAGE as error:
        found = str(error)
    else:
        if isinstance(pixels, np.ndarray) and (pixels.shape, pixels.dtype) == (shape, np.uint8):
            return pixels
        found = "another array"
    raise DataError(
        f"{path}: expected decoded pixels of models.train, {shape} of uint8; found {found}. Remove "
        "the file; the images are then decoded again."
    )


def _keep(path: Path, pixels: np.ndarray) -> None:
    """Another run may be keeping the same pixels: each writes a file of its own, then moves it."""
    with fill_together(path.parent) as folder:
        np.save(folder / path.name, pixels)
