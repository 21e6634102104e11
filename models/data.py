"""Labelled pictures in memory, decoded once; python -m models.data packs and checks data sets.

Pictures are decoded to uint8 by the code that the service uses (runtime.images), so that
training, evaluation and serving see the same pixels.

  check DIR [--set NAME]                   counts every part, compares them with the table
  pack DIR --out DIR [--set NAME]          a few .npz files instead of thousands of pictures
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
import torch
from torch import Tensor
from tqdm import tqdm

from models.datasets import open_data_set, write_words
from models.errors import DamagedPictures, DataError, TrainingFault
from models.known_sets import NAMES
from models.packs import LIMITS, NUMPY_DAMAGE, check_no_pictures, fill_together, write_packs
from models.picture_files import PictureFiles
from models.splits import hold_back
from runtime import ImageReader, InvalidImage, Preprocessing
from runtime.images import LARGEST_SIDE

CACHE_FORMAT = 1


@dataclass(frozen=True)
class LabelledImages:
    """pixels uint8 [N, 3, S, S], labels int64 [N] that index classes.

    `skipped` says of each damaged file that was left out its name and what is wrong.
    """

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> LabelledImages:
        pixels, labels = self.pixels.to(device), self.labels.to(device)
        return LabelledImages(pixels, labels, self.classes, self.skipped)

    def select(self, index: Tensor) -> LabelledImages:
        return LabelledImages(self.pixels[index], self.labels[index], self.classes)


def decode_pictures(
    files: PictureFiles,
    preprocessing: Preprocessing,
    *,
    title: str = "decoding",
    progress: bool = False,
    workers: int = 2,
    skip_damaged: bool | None = None,
    cache: Path | None = None,
) -> LabelledImages:
    """Every picture as the pixels the network sees, in the order of `files` on any `workers`.

    With a `cache` folder the pixels are kept there as one file and mapped the next time.
    skip_damaged: None where the command has no such option, which the error then does not advise.
    Raises DamagedPictures naming the files, unless they are to be skipped; DataError if none is
    left, or if the file in the cache is damaged.
    """
    kept = None if cache is None else cache / f"{_cache_key(files, preprocessing)}.npy"
    shape = (len(files), 3, preprocessing.crop, preprocessing.crop)
    if kept is not None and kept.is_file():
        pixels = _map(kept, shape)
        return LabelledImages(torch.from_numpy(pixels), torch.tensor(files.labels), files.classes)
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
        return LabelledImages(torch.from_numpy(pixels), labels, files.classes)
    if not skip_damaged:
        raise DamagedPictures(damaged, len(files), can_skip=skip_damaged is not None)
    good = torch.tensor([i for i, fault in enumerate(faults) if fault is None], dtype=torch.int64)
    if not len(good):
        raise DataError(f"all of {len(files)} files are damaged; the first: {damaged[0]}")
    return LabelledImages(
        torch.from_numpy(pixels)[good], labels[good], files.classes, tuple(damaged)
    )


def _cache_key(files: PictureFiles, preprocessing: Preprocessing) -> str:
    geometry: tuple[object, ...] = (
        *(preprocessing.resize, preprocessing.crop, preprocessing.interpolation),
        *(() if preprocessing.reduce is None else (preprocessing.reduce,)),
    )
    text = f"{CACHE_FORMAT} {PIL.__version__} {geometry} {files.sha256()}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _map(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The pixels that _keep wrote. Raises DataError: a damaged disk had better be known."""
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
        "the file, and the pictures are decoded anew."
    )


def _keep(path: Path, pixels: np.ndarray) -> None:
    """Another run may be keeping the same pixels: each writes a file of its own, then moves it."""
    with fill_together(path.parent) as folder:
        np.save(folder / path.name, pixels)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m models.data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("check", "pack"):
        command = commands.add_parser(name)
        command.add_argument("data", type=Path, help="a local copy: train/, val/ or test/ in it")
        command.add_argument("--set", choices=NAMES, help="what it is a copy of; checks the counts")
        if name == "pack":
            command.add_argument("--out", type=Path, required=True, help="folder without packs")
            command.add_argument("--parts", type=int, default=1, help="files for train (default 1)")
            command.add_argument(
                "--side",
                type=int,
                help="larger pictures of train and val are reduced to squares of at most this side",
            )
            command.add_argument(
                "--validation-share",
                type=float,
                metavar="SHARE",
                help="hold back so much of train as val, where there is none: with --side the same "
                "pictures that models.train would hold back of the set as it is. It is no copy of "
                "a --set any more",
            )
    args = parser.parse_args(arguments)
    try:
        _check(args) if args.command == "check" else _pack(args)
    except (TrainingFault, InvalidImage, OSError) as error:
        print(f"models.data: {error}", file=sys.stderr)
        return 2
    return 0


def _check(args: argparse.Namespace) -> None:
    data = open_data_set(args.data, args.set)
    for part, files in data.parts().items():
        counts = files.counts().values()
        summary = {
            "part": part,
            "pictures": len(files),
            "classes": sum(count > 0 for count in counts),
            "fewest": min(counts),
            "most": max(counts),
            "sha256": files.sha256(),
        }
        print(json.dumps(summary))


def _pack(args: argparse.Namespace) -> None:
    if args.parts < 1:
        raise DataError(f"expected at least 1 part; found --parts {args.parts}")
    if args.side is not None and not 1 <= args.side <= LARGEST_SIDE:
        raise DataError(
            f"expected --side from 1 to {LARGEST_SIDE} pixels; found {args.side}. Leave it out to "
            "keep the files as they are."
        )
    share = args.validation_share
    if share is not None and not 0 < share < 1:
        raise DataError(f"expected --validation-share between 0 and 1; found {share}")
    check_no_pictures(args.out, ("train", "val", "test"))
    data = open_data_set(args.data, args.set)
    if share is not None:
        if data.validation is not None:
            raise DataError(
                f"{args.data}: expected a set without val for --validation-share; found one that "
                "has it. Leave the option out."
            )
        if data.test is None:  # or the pictures held back would be taken for it
            raise DataError(
                f"{args.data}: expected a set with a test part for --validation-share; found none. "
                "Leave the option out."
            )
        data = hold_back(data, share)
    splits = {"train": "train", "validation": "val", "test": "test"}
    lines = []
    with fill_together(args.out) as folder:
        for part, files in data.parts().items():
            parts, side = (args.parts, args.side) if part == "train" else (1, args.side)
            side = None if part == "test" else side  # testing uses the untouched files
            for path in write_packs(files, folder, splits[part], parts, side):
                lines.append(f"{args.out / path.name}: {path.stat().st_size:,} bytes")
            lines.append(f"{splits[part]}: {len(files)} pictures")
        write_words(data, folder)
    print("\n".join(lines))  # of files that are in place


if __name__ == "__main__":
    sys.exit(main())
