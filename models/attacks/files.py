"""Changed images as files: PNG of what a network sees, read and answered as the service would."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from runtime import Engine, ImageReader, Preprocessing

BATCH = 50  # images at a time


def make_file(pixels: Tensor, preprocessing: Preprocessing) -> bytes:
    """PNG of uint8 [3, crop, crop], in the middle of `resize` pixels, so that it is seen again.

    The frame, which evaluation crops away, repeats the border.
    """
    before = (preprocessing.resize - preprocessing.crop) // 2
    after = preprocessing.resize - preprocessing.crop - before
    rows = np.pad(
        pixels.numpy().transpose(1, 2, 0), ((before, after), (before, after), (0, 0)), "edge"
    )
    stream = io.BytesIO()
    Image.fromarray(rows).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def answer_files(engine: Engine, pixels: Tensor) -> Tensor:
    """The engine's logits of uint8 [N, 3, crop, crop] that come to it as files."""
    preprocessing = engine.bundle.manifest.preprocessing
    reader = ImageReader(preprocessing)
    rows = []
    for some in pixels.split(BATCH):
        inputs = [reader.read_tensor(make_file(image, preprocessing)) for image in some]
        rows.append(torch.from_numpy(engine.predict(np.stack(inputs))))
    return torch.cat(rows)
