"""Measures a bundle's accuracy through an engine, as the service would answer.

python -m models.evaluate BUNDLE --data DIR [--set NAME] decodes and preprocesses the images of the
test split as the manifest says. The bundle may know more classes than the data has, such as one of
ImageNet: then "top1" is measured over all its classes, and "among" over those of the data. With
--seen-at the images are first reduced to what a network for smaller images sees of them. With
--color-jitter brightness, contrast, saturation and hue change, for each image in the same way every
time. Prints the figures and what they were measured on and with: images (SHA-256), commit, device,
day, seconds. The output is JSON if it is not a terminal.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from models.command_line.figures import print_figures
from models.command_line.main import make_parser, run_command
from models.data.catalog import NAMES
from models.data.datasets import open_data_set
from models.data.decoded import decode_images
from models.data.others import leave_out_others
from models.errors import DataError, RecipeError
from models.evaluation.accuracy import (
    change_colors,
    decode_reduced,
    find_classes,
    find_data_name,
    measure_accuracy,
    measure_stability,
)
from models.evaluation.hedging import measure_hedged
from models.records.evaluation import BundleAccuracy, Evaluation
from models.records.provenance import describe_code, describe_device
from models.records.typed_json import as_json, fields_of
from runtime import ENGINES, load_engine
from runtime.images import MAX_SIDE


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.evaluate", __doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="directory with test/ or val/")
    parser.add_argument("--set", choices=NAMES, help="what DATA is a copy of; checks its counts")
    parser.add_argument("--engine", choices=["auto", *ENGINES], default="auto")
    parser.add_argument(
        "--resize", type=int, help="shorter side before the crop (default: the bundle's)"
    )
    parser.add_argument(
        "--seen-at", type=int, metavar="SIDE", help="reduce the images to SIDE pixels first"
    )
    parser.add_argument(
        "--color-jitter",
        type=float,
        default=0.0,
        metavar="STRENGTH",
        help="apply colour jitter first, 0 to 1",
    )
    parser.add_argument(
        "--stability",
        action="store_true",
        help="also the share of answers that stay when a few values change by one level",
    )
    parser.add_argument(
        "--certainty",
        action="store_true",
        help="also how often hedged answers are right at each certainty of the bundle's hierarchy",
    )
    parser.add_argument("--confusion", type=Path, help="write the confusion table, a .csv file")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    return run_command(parser, arguments, _evaluate)


def _evaluate(args: argparse.Namespace) -> None:
    clock = time.monotonic()
    started = datetime.now(UTC).isoformat(timespec="seconds")
    engine = load_engine(args.bundle, args.engine)
    data = open_data_set(args.data, args.set, needs_train=False)
    manifest = engine.bundle.manifest
    if args.certainty and manifest.hierarchy is None:
        raise DataError(
            f"{args.bundle}: expected a bundle with a hierarchy for --certainty; found none in "
            "it. Give it one with models.hedge, or leave --certainty out."
        )
    data = leave_out_others(data, find_classes(manifest))
    if data.test is None:
        raise DataError(f"{args.data}: expected test or val in it; found neither")
    spec = manifest.preprocessing
    if args.resize is not None:
        if not spec.crop <= args.resize <= MAX_SIDE:
            raise RecipeError(
                f"expected --resize from {spec.crop}, the crop that the bundle's network sees, "
                f"to {MAX_SIDE}; found {args.resize}"
            )
        spec = replace(spec, resize=args.resize)
    if not 0 <= args.color_jitter <= 1:
        raise RecipeError(f"expected --color-jitter from 0 to 1; found {args.color_jitter:g}")
    shown = not args.quiet
    if args.seen_at is None:
        images = decode_images(data.test, spec, progress=shown)
    elif 1 <= args.seen_at <= spec.resize:
        images = decode_reduced(data.test, spec, args.seen_at, progress=shown)
    else:
        raise DataError(
            f"expected --seen-at from 1 to {spec.resize}, the pixels that the network sees of "
            f"the shorter side; found {args.seen_at}"
        )
    if args.color_jitter:
        images = change_colors(images, args.color_jitter)
    accuracy = measure_accuracy(
        engine,
        images,
        progress=shown,
        confusion=args.confusion,
        labels=data.labels,
        preprocessing=spec,
    )
    stability = measure_stability(engine, images, spec, shown) if args.stability else None
    hedged = measure_hedged(engine, images, data.labels, spec, shown) if args.certainty else None
    evaluation = Evaluation(
        **fields_of(BundleAccuracy, accuracy),
        bundle=manifest.name,
        trained_on=find_data_name(manifest),
        data=data.name,
        sha256=data.test.sha256(),
        resize=spec.resize,
        seen_at=args.seen_at,
        color_jitter=args.color_jitter,
        stability=stability,
        hedged=hedged,
        **describe_code(),
        device=describe_device(torch.device("cpu")),
        started=started,
        seconds=round(time.monotonic() - clock, 1),
    )
    print_figures(as_json(evaluation))


if __name__ == "__main__":
    sys.exit(main())
