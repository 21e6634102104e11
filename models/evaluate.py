"""Measures a bundle's accuracy through an engine, as the service would answer.

python -m models.evaluate BUNDLE --data DIR [--set NAME]: the pictures of the test part are decoded
and preprocessed as the manifest says.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from models.data import LabelledImages, decode_pictures
from models.datasets import NAMES, open_data_set
from models.errors import DataError, TrainingFault
from models.metrics import calibration_error, measure, predict_logits, write_confusion
from runtime import ENGINES, Engine, Manifest, RuntimeFault, load_engine


def find_classes(manifest: Manifest) -> tuple[str, ...]:
    """The classes as the training data calls them; labels may be names for people."""
    training = manifest.training or {}
    return tuple(training.get("classes", manifest.labels))


def measure_accuracy(
    engine: Engine,
    images: LabelledImages,
    batch: int = 50,
    progress: bool = True,
    confusion: Path | None = None,
) -> dict[str, Any]:
    """{"top1", "top5"} in percent, "loss", "images", calibration errors in percent, "engine".

    "calibration_error" is without the bundle's temperature, the other with it. Writes the confusion
    table, if a path is given. Raises DataError if the classes differ.
    """
    classes = find_classes(engine.bundle.manifest)
    if images.classes != classes:
        raise DataError(
            f"expected the bundle's classes {classes}; the data has {images.classes}. Give the "
            "data that the network was trained on."
        )

    def predict(inputs: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(engine.predict(inputs.numpy()))

    spec = engine.bundle.manifest.preprocessing
    logits = predict_logits(predict, images, spec, batch=batch, progress=progress)
    temperature = engine.bundle.manifest.temperature
    if confusion is not None:
        write_confusion(confusion, logits, images.labels, engine.bundle.manifest.labels)
    return {
        **measure(logits, images.labels),
        "calibration_error": calibration_error(logits, images.labels),
        "temperature": temperature,
        "calibration_error_with_temperature": calibration_error(logits, images.labels, temperature),
        "engine": f"{engine.name}/{engine.implementation}",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m models.evaluate", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="directory with test/ or val/")
    parser.add_argument("--set", choices=NAMES, help="what DATA is a copy of; checks its counts")
    parser.add_argument("--engine", choices=["auto", *ENGINES], default="auto")
    parser.add_argument("--confusion", type=Path, help="write the confusion table, a .csv file")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    args = parser.parse_args(arguments)
    try:
        engine = load_engine(args.bundle, args.engine)
        files = open_data_set(args.data, args.set).test
        if files is None:
            raise DataError(f"{args.data}: expected test or val in it; found neither")
        spec = engine.bundle.manifest.preprocessing
        shown = not args.quiet
        images = decode_pictures(files, spec, progress=shown)
        figures = measure_accuracy(engine, images, progress=shown, confusion=args.confusion)
    except (TrainingFault, RuntimeFault, OSError) as error:
        print(f"models.evaluate: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"bundle": str(args.bundle), "split": "test", **figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
