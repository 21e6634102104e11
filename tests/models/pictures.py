"""Tiny data sets that tests write."""

from pathlib import Path

import numpy as np
from PIL import Image


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
