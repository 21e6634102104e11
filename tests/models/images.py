"""Tiny data sets that tests write."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data.catalog import UNION
from models.data.datasets import DataSet, open_data_set
from models.data.image_files import ImageFiles

COLOURS = {
    "blue": (0, 0, 150),
    "red": (150, 0, 0),
    "other": (0, 150, 0),
    "far": (20, 140, 20),
    "near": (110, 0, 110),
    "unlabelled": (150, 0, 0),
}


def write_image(path: Path, seed: int = 0, size: tuple[int, int] = (16, 12)) -> None:
    """Seeded noise, width x height, in the format that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)


def write_two_colours(folder: Path, train: int = 12, test: int = 4, side: int = 16) -> None:
    """train/ and test/ with the classes blue and red, noise beside the colour."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        for i in range(count):
            pixels = random.integers(0, 100, (side, side, 3), np.uint8)
            pixels[..., 2 if i % 2 == 0 else 0] += 150
            path = folder / split / ("blue", "red")[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)


def write_colours(folder: Path, each: int, *names: str, seed: int = 0, side: int = 16) -> None:
    """Images of COLOURS beside noise, in sub-folders called like them."""
    random = np.random.default_rng(seed)
    for name in names:
        (folder / name).mkdir(parents=True)
        for i in range(each):
            pixels = random.integers(0, 100, (side, side, 3)) + np.array(COLOURS[name])
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name / f"{i}.png")


def make_files(content: dict[str, dict[str, bytes]]) -> ImageFiles:
    """{class: {name: bytes}} as ImageFiles, without files."""
    classes = tuple(sorted(content))
    rows = [
        (f"{c}/{name}", i, data)
        for i, c in enumerate(classes)
        for name, data in sorted(content[c].items())
    ]
    names, labels, blobs = zip(*rows, strict=True)
    return ImageFiles(names, labels, classes, lambda i: blobs[i])


def write_photos(
    folder: Path, each: int = 8, seed: int = 7, size: tuple[int, int] = (320, 240)
) -> None:
    """JPEG photos of three kinds of things, in sub-folders: balls, fences and horizons.

    Colours, places and light vary; only the shape tells the class.
    """
    random = np.random.default_rng(seed)
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    for i in range(each):
        ball = (x - random.uniform(0.4, 0.6) * width) ** 2 + (y - 0.5 * height) ** 2
        shapes = {
            "ball": ball < (random.uniform(0.25, 0.4) * height) ** 2,
            "fence": (x + random.integers(40)) % 40 < random.integers(12, 22),
            "horizon": y > random.uniform(0.4, 0.6) * height,
        }
        for name, shape in shapes.items():
            back, front = random.uniform(0, 100, 3), random.uniform(130, 255, 3)
            image = np.where(shape[..., None], front, back) + random.normal(0, 12, (*y.shape, 3))
            path = folder / name / f"{name} {i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path, quality=85)


def open_real_copy(name: str) -> DataSet:
    """Of the sets that lie in $BNN_DATA, each in a folder called like it; else skips, naming it."""
    data = Path(os.environ.get("BNN_DATA", "data"))
    members = name.split(UNION)
    if missing := [member for member in members if not (data / member).is_dir()]:
        pytest.skip(f"optional data is missing: $BNN_DATA/{missing[0]}")
    return open_data_set(data / name if len(members) == 1 else data, name)
