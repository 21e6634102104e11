"""Measures a bundle's accuracy through an engine, as the service would answer.

python -m models.evaluate BUNDLE --data DIR [--set NAME]: the pictures of the test part are decoded
and preprocessed as the manifest says. The bundle may know more classes than the data has, as one of
ImageNet does: then "top1" is of all its classes, and "among" of the data's alone. With --seen-at
the pictures are reduced first, to what a network for smaller pictures sees of them; with
--color-jitter their light and colours are changed, as a training may, each picture always alike.
Prints the figures as JSON, with what they are of: pictures (SHA-256), commit, device, day, seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from models.augmentation import AT_A_TIME, COLOR_DRAWS, draw, jitter_colors, view_centre
from models.data import LabelledImages, decode_pictures
from models.datasets import open_data_set
from models.errors import DataError, RecipeError, TrainingFault
from models.known_sets import NAMES
from models.metrics import (
    calibration_error,
    measure,
    measure_classes,
    predict_logits,
    write_confusion,
)
from models.picture_files import PictureFiles
from models.record import describe_code, describe_device
from runtime import ENGINES, Engine, Manifest, Preprocessing, RuntimeFault, load_engine
from runtime.images import LARGEST_SIDE


def find_classes(manifest: Manifest) -> tuple[str, ...]:
    """The classes as the training data calls them; labels may be names for people."""
    training = manifest.training or {}
    return tuple(training.get("classes", manifest.labels))


def _find_data(manifest: Manifest) -> str:
    """The name of the data that the network was trained on."""
    return str((manifest.training or {}).get("data", "unknown"))


def find_columns(
    manifest: Manifest, classes: Sequence[str], labels: Sequence[str] | None = None
) -> list[int]:
    """Where the bundle has each of the data's classes, by class or else by the label's first name.

    Raises DataError if it lacks one.
    """
    names = [label.split(",")[0] for label in manifest.labels]  # of "tench, Tinca tinca"
    for wanted, known in ((classes, find_classes(manifest)), (labels or (), names)):
        if wanted and all(known.count(name) == 1 for name in wanted):
            return [known.index(name) for name in wanted]
    lacking = [name for name in labels or classes if names.count(name) != 1]
    raise DataError(
        f"expected data whose classes the bundle knows; it lacks {', '.join(lacking[:5])}. Give "
        f"the data that the network was trained on ({_find_data(manifest)})."
    )


def measure_accuracy(
    engine: Engine,
    images: LabelledImages,
    batch: int = 50,
    progress: bool = True,
    confusion: Path | None = None,
    labels: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> dict[str, Any]:
    """{"top1", "top5"} in percent, "loss", "images", calibration errors in percent, "engine".

    "balanced_top1" is the mean of the classes' shares of right answers.
    "calibration_error" is without the bundle's temperature, the other with it. Where the bundle
    knows more classes, "among" has "classes", "top1" and "top5" of the data's alone. Writes the
    confusion table, if a path is given. labels: the data's names for people; preprocessing: if not
    the bundle's. Raises DataError if the bundle lacks a class.
    """
    manifest = engine.bundle.manifest
    columns = find_columns(manifest, images.classes, labels)

    def predict(inputs: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(engine.predict(inputs.numpy()))

    spec = preprocessing or manifest.preprocessing
    logits = predict_logits(predict, images, spec, batch=batch, progress=progress)
    truth = torch.tensor(columns)[images.labels]
    among = logits[:, columns]
    if confusion is not None:
        names = [manifest.labels[column] for column in columns]
        write_confusion(confusion, among, images.labels, names)
    figures = {
        **measure(logits, truth),
        "balanced_top1": measure_classes(logits, truth),
        "calibration_error": calibration_error(logits, truth),
        "temperature": manifest.temperature,
        "calibration_error_with_temperature": calibration_error(
            logits, truth, manifest.temperature
        ),
        "engine": f"{engine.name}/{engine.implementation}",
    }
    if len(columns) < manifest.classes:
        best = measure(among, images.labels)
        few = {"classes": len(columns), "top1": best["top1"], "top5": best["top5"]}
        figures["among"] = few
    return figures


def decode_reduced(
    files: PictureFiles, spec: Preprocessing, side: int, progress: bool = False
) -> LabelledImages:
    """Pictures for `spec`, reduced first: of the centre square `side` x `side` pixels are left."""
    small = replace(spec, resize=side, crop=side)
    images = decode_pictures(files, small, progress=progress)
    return replace(images, pixels=view_centre(images.pixels, spec))


def change_colors(images: LabelledImages, strength: float) -> LabelledImages:
    """The pictures under other light (models.augmentation.jitter_colors), the same at each call."""
    draws = draw(len(images), torch.Generator().manual_seed(0), COLOR_DRAWS)
    parts = zip(images.pixels.split(AT_A_TIME), draws.split(AT_A_TIME), strict=True)
    return replace(images, pixels=torch.cat([jitter_colors(*part, strength) for part in parts]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m models.evaluate", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="directory with test/ or val/")
    parser.add_argument("--set", choices=NAMES, help="what DATA is a copy of; checks its counts")
    parser.add_argument("--engine", choices=["auto", *ENGINES], default="auto")
    parser.add_argument(
        "--resize", type=int, help="shorter side before the crop (default: the bundle's)"
    )
    parser.add_argument(
        "--seen-at", type=int, metavar="SIDE", help="reduce the pictures to SIDE pixels first"
    )
    parser.add_argument(
        "--color-jitter",
        type=float,
        default=0.0,
        metavar="STRENGTH",
        help="change light and colours first, 0 to 1",
    )
    parser.add_argument("--confusion", type=Path, help="write the confusion table, a .csv file")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    args = parser.parse_args(arguments)
    clock = time.monotonic()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        engine = load_engine(args.bundle, args.engine)
        data = open_data_set(args.data, args.set, needs_train=False)
        if data.test is None:
            raise DataError(f"{args.data}: expected test or val in it; found neither")
        spec = engine.bundle.manifest.preprocessing
        if args.resize is not None:
            if not spec.crop <= args.resize <= LARGEST_SIDE:
                raise RecipeError(
                    f"expected --resize from {spec.crop}, the crop that the bundle's network sees, "
                    f"to {LARGEST_SIDE}; found {args.resize}"
                )
            spec = replace(spec, resize=args.resize)
        if not 0 <= args.color_jitter <= 1:
            raise RecipeError(f"expected --color-jitter from 0 to 1; found {args.color_jitter:g}")
        shown = not args.quiet
        if args.seen_at is None:
            images = decode_pictures(data.test, spec, progress=shown)
        elif 1 <= args.seen_at <= spec.resize:
            images = decode_reduced(data.test, spec, args.seen_at, progress=shown)
        else:
            raise DataError(
                f"expected --seen-at from 1 to {spec.resize}, the pixels that the network sees of "
                f"the shorter side; found {args.seen_at}"
            )
        if args.color_jitter:
            images = change_colors(images, args.color_jitter)
        figures = measure_accuracy(
            engine,
            images,
            progress=shown,
            confusion=args.confusion,
            labels=data.labels,
            preprocessing=spec,
        )
        sha256 = data.test.sha256()
    except (TrainingFault, RuntimeFault, OSError) as error:
        print(f"models.evaluate: {error}", file=sys.stderr)
        return 2
    manifest = engine.bundle.manifest
    about = {
        "bundle": manifest.name,
        "trained_on": _find_data(manifest),
        "data": data.name,
        "split": "test",
    }
    seen = {"resize": spec.resize, "seen_at": args.seen_at, "color_jitter": args.color_jitter}
    by = {**describe_code(), "device": describe_device(torch.device("cpu")), "started": started}
    took = {"seconds": round(time.monotonic() - clock, 1)}
    print(json.dumps({**about, "sha256": sha256, **seen, **figures, **by, **took}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
