"""Measures a bundle's accuracy through an engine, as the service would answer.

python -m models.evaluate BUNDLE --data DIR: the pictures of DIR/test or DIR/val are decoded and
preprocessed as the manifest says.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from models.data import HELD_OUT, DataError, LabelledImages, find_split, load_images, normalize
from runtime import ENGINES, Engine, RuntimeFault, load_engine


def measure_accuracy(
    engine: Engine, images: LabelledImages, batch: int = 50, progress: bool = True
) -> dict[str, Any]:
    """{"top1", "top5"} in percent, "images", "engine". Raises DataError if the classes differ."""
    labels = engine.bundle.manifest.labels
    if images.classes != labels:
        raise DataError(f"the data has the classes {images.classes}, the bundle {labels}")
    hits = [0, 0]
    pairs = zip(images.pixels.split(batch), images.labels.split(batch), strict=True)
    total = -(-len(images) // batch)
    for pixels, truth in tqdm(pairs, "measuring", total, disable=not progress, unit="batch"):
        batch_images = normalize(pixels, engine.bundle.manifest.preprocessing).numpy()
        logits = torch.from_numpy(engine.predict(batch_images))
        best = logits.topk(min(5, len(labels))).indices == truth[:, None]
        hits[0] += int(best[:, 0].sum())
        hits[1] += int(best.sum())
    top1, top5 = (round(100 * hit / len(images), 2) for hit in hits)
    name = f"{engine.name}/{engine.implementation}"
    return {"top1": top1, "top5": top5, "images": len(images), "engine": name}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m models.evaluate", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="directory with test/ or val/")
    parser.add_argument("--engine", choices=["auto", *ENGINES], default="auto")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    args = parser.parse_args(arguments)
    try:
        engine = load_engine(args.bundle, args.engine)
        split = find_split(args.data, HELD_OUT)
        if split is None:
            raise DataError(f"{args.data}: expected {' or '.join(HELD_OUT)} in it; found neither")
        images = load_images(split, engine.bundle.manifest.preprocessing, not args.quiet)
        figures = measure_accuracy(engine, images, progress=not args.quiet)
    except (DataError, RuntimeFault) as error:
        print(f"models.evaluate: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"bundle": str(args.bundle), "split": split.stem, **figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
