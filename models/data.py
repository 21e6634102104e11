"""Labelled pictures in memory: folders of class folders or packed .npz files, and augmentation.

Pictures are decoded once to uint8 by the same code that the service uses (runtime.preprocess), so
that training, evaluation and serving see the same pixels; augmentation works on whole batches, on
the CPU or the GPU.

python -m models.data FOLDER --out PACK.npz packs a folder: one file instead of thousands. A pack
holds `blob` (all image files end to end), `offs` (n + 1 offsets into it), `label`, `wnids`
(the class names that labels index) and `names` (the files' relative paths).
"""

from __future__ import annotations

import argparse
import io
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from runtime import InvalidImage, Preprocessing, decode_image, resize_and_crop

# Mean and deviation of ImageNet's pixels, 0..255 RGB, as in the authors' code.
MEAN, STD = (123.68, 116.779, 103.939), (58.393, 57.12, 57.375)

HELD_OUT = ("test", "val")  # names of the split that accuracy is measured on
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
TEST_FILE_PREFIX = "ILSVRC2012_val_"  # ImageNet's own validation pictures are never trained on


class DataError(ValueError):
    """A data set that is not there or not as described.

    The message says what was expected and found.
    """


@dataclass(frozen=True)
class LabelledImages:
    """pixels uint8 [N, 3, S, S], labels int64 [N] that index classes."""

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> LabelledImages:
        return LabelledImages(self.pixels.to(device), self.labels.to(device), self.classes)

    def select(self, index: Tensor) -> LabelledImages:
        return LabelledImages(self.pixels[index], self.labels[index], self.classes)


def load_images(
    path: Path, preprocessing: Preprocessing, progress: bool = True, training: bool = False
) -> LabelledImages:
    """Reads and decodes a folder of class folders or a pack. Raises DataError.

    With `training`, ImageNet's own validation pictures are left out.
    """
    if path.is_dir():
        files, labels, classes = _index_folder(path)
        names = [file.relative_to(path).as_posix() for file in files]
        blobs: Iterable[bytes] = (file.read_bytes() for file in files)
    elif path.suffix == ".npz" and path.is_file():
        blobs, names, labels, classes = _open_pack(path)
    else:
        raise DataError(
            f"{path}: expected a folder with a sub-folder per class, or a .npz pack; found "
            f"{'nothing' if not path.exists() else 'another kind of file'}"
        )
    kept = [not (training and Path(name).name.startswith(TEST_FILE_PREFIX)) for name in names]
    blobs = itertools.compress(blobs, kept)
    names = list(itertools.compress(names, kept))
    labels = list(itertools.compress(labels, kept))
    size = preprocessing.crop
    pixels = np.empty((len(labels), 3, size, size), np.uint8)
    for i, blob in enumerate(
        tqdm(blobs, f"decoding {path.name}", len(labels), disable=not progress, unit="img")
    ):
        try:
            image = resize_and_crop(decode_image(blob), preprocessing)
        except InvalidImage as error:
            raise DataError(f"{path}: {names[i]}: {error}") from error
        pixels[i] = np.asarray(image).transpose(2, 0, 1)
    return LabelledImages(
        torch.from_numpy(pixels), torch.tensor(labels, dtype=torch.int64), classes
    )


def find_split(data: Path, names: Sequence[str]) -> Path | None:
    """The first of DATA/name/ and DATA/name.npz that exists, or None."""
    for name in names:
        for path in (data / name, data / f"{name}.npz"):
            if path.exists():
                return path
    return None


def _index_folder(path: Path) -> tuple[list[Path], list[int], tuple[str, ...]]:
    classes = tuple(sorted(folder.name for folder in path.iterdir() if folder.is_dir()))
    names: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        files = sorted(f for f in (path / name).rglob("*") if f.suffix.lower() in SUFFIXES)
        if not files:
            raise DataError(f"{path / name}: expected pictures ({', '.join(SUFFIXES)}), found none")
        names += files
        labels += [label] * len(files)
    if len(classes) < 2:
        raise DataError(
            f"{path}: expected a sub-folder per class, at least 2; found {len(classes)}"
        )
    return names, labels, classes


def _open_pack(
    path: Path,
) -> tuple[Iterator[bytes], list[str], list[int], tuple[str, ...]]:
    with np.load(path, allow_pickle=False) as pack:
        missing = {"blob", "offs", "label", "wnids", "names"} - set(pack.files)
        if missing:
            raise DataError(f"{path}: the pack lacks {sorted(missing)}; found {pack.files}")
        blob, offs = pack["blob"], pack["offs"]
        labels = [int(label) for label in pack["label"]]
        classes = tuple(str(name) for name in pack["wnids"])
        names = [str(name) for name in pack["names"]]
    fits = len(offs) == len(labels) + 1 == len(names) + 1
    if not fits or offs[0] != 0 or (np.diff(offs) < 0).any() or offs[-1] > len(blob):
        raise DataError(
            f"{path}: {len(labels)} labels, {len(names)} names, {len(offs)} offsets, "
            f"{len(blob)} bytes do not fit"
        )
    if not set(labels) <= set(range(len(classes))):
        raise DataError(f"{path}: expected labels below {len(classes)}, found {max(labels)}")
    return (blob[a:b].tobytes() for a, b in itertools.pairwise(offs)), names, labels, classes


def write_pack(folder: Path, out: Path) -> int:
    """Packs a folder of class folders into one .npz, leaving out ImageNet validation files.

    Returns the count.
    """
    names, labels, classes = _index_folder(folder)
    kept = [i for i, name in enumerate(names) if not name.name.startswith(TEST_FILE_PREFIX)]
    blob, offs = io.BytesIO(), [0]
    for i in kept:
        blob.write(names[i].read_bytes())
        offs.append(blob.tell())
    np.savez(
        out,
        blob=np.frombuffer(blob.getvalue(), np.uint8),
        offs=np.array(offs, np.int64),
        label=np.array([labels[i] for i in kept], np.int64),
        wnids=np.array(classes),
        names=np.array([names[i].relative_to(folder).as_posix() for i in kept]),
    )
    return len(kept)


def split_off(
    images: LabelledImages, share: float, seed: int
) -> tuple[LabelledImages, LabelledImages]:
    """(rest, held-out part of about `share`), drawn per class by a fixed seed.

    Each part has a picture of every class, but a class of a single picture stays in the rest.
    """
    generator = torch.Generator().manual_seed(seed)
    held: list[Tensor] = []
    for label in range(len(images.classes)):
        index = torch.nonzero(images.labels.cpu() == label).flatten()
        index = index[torch.randperm(len(index), generator=generator)]
        held.append(index[: min(max(1, round(share * len(index))), len(index) - 1)])
    out = torch.cat(held)
    mask = torch.ones(len(images), dtype=torch.bool)
    mask[out] = False
    return images.select(torch.nonzero(mask).flatten()), images.select(out)


def augment_crop(pixels: Tensor, generator: torch.Generator, pad: int = 4) -> Tensor:
    """Random shift by up to `pad` pixels (zeros come in) and horizontal flip.

    Uint8 [N, 3, S, S] to the same shape.
    """
    n, _, height, width = pixels.shape
    padded = torch.nn.functional.pad(pixels, (pad, pad, pad, pad))
    device = pixels.device
    top = torch.randint(0, 2 * pad + 1, (n, 1), generator=generator).to(device)
    left = torch.randint(0, 2 * pad + 1, (n, 1), generator=generator).to(device)
    flip = (torch.rand((n, 1), generator=generator) < 0.5).to(device)
    columns = torch.arange(width, device=device).expand(n, width)
    columns = torch.where(flip, columns.flip(1), columns) + left
    rows = torch.arange(height, device=device).expand(n, height) + top
    batch = torch.arange(n, device=device)
    return padded[batch[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )


def augment_resized_crop(
    pixels: Tensor,
    generator: torch.Generator,
    area: tuple[float, float] = (0.08, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
) -> Tensor:
    """Random crop of `area` share and aspect, scaled back (bilinear), and horizontal flip.

    Uint8 to uint8.
    """
    n = len(pixels)
    share = torch.empty(n).uniform_(*area, generator=generator)
    ratio = torch.empty(n).uniform_(*np.log(aspect), generator=generator).exp()
    height, width = (share / ratio).sqrt().clamp(max=1), (share * ratio).sqrt().clamp(max=1)
    centre_y = (torch.rand(n, generator=generator) * 2 - 1) * (1 - height)
    centre_x = (torch.rand(n, generator=generator) * 2 - 1) * (1 - width)
    sign = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    zero = torch.zeros(n)
    theta = torch.stack((sign * width, zero, centre_x, zero, height, centre_y), 1).view(n, 2, 3)
    grid = torch.nn.functional.affine_grid(
        theta.to(pixels.device), list(pixels.shape), align_corners=False
    )
    sampled = torch.nn.functional.grid_sample(
        pixels.float(), grid, padding_mode="reflection", align_corners=False
    )
    return sampled.round_().clamp_(0, 255).to(torch.uint8)


Augmentation = Callable[[Tensor, torch.Generator], Tensor]
AUGMENTATIONS: dict[str, Augmentation] = {
    "crop": augment_crop,
    "resized_crop": augment_resized_crop,
}


def normalize(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 [N, 3, S, S] -> float32 of the same shape, (pixel - mean) / std per channel."""
    mean = torch.tensor(preprocessing.mean, device=pixels.device).view(3, 1, 1)
    std = torch.tensor(preprocessing.std, device=pixels.device).view(3, 1, 1)
    return (pixels.float() - mean) / std


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m models.data", description=__doc__)
    parser.add_argument("folder", type=Path, help="a sub-folder of pictures per class")
    parser.add_argument("--out", type=Path, required=True, help="the pack, a .npz file")
    args = parser.parse_args(arguments)
    try:
        if not args.folder.is_dir() or args.out.suffix != ".npz":
            raise DataError(f"expected a folder and an .npz file; found {args.folder}, {args.out}")
        count = write_pack(args.folder, args.out)
    except (DataError, OSError) as error:
        print(f"models.data: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: {count} pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
