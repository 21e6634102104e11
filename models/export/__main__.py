"""Writes a bundle of a network, trained or not, for the service.

python -m models.export NAME [--checkpoint FILE] [--num-classes N] [--image-size SIDE]
    [--float-layers int8 [--calibration DIR] [--evaluation DIR]] --out DIR [--replace]

With a checkpoint of models.train, network, classes and preprocessing come from it. Without one the
weights are random and the bundle says "trained": false; such a bundle is good for measuring speed
and memory only. --float-layers int8 gives stem, transitions and head 8-bit weights and
activations; the manifest then says how much that changes the logits. DIR is a new or empty folder;
a bundle that is already there is replaced only with --replace.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent

import torch

from models.command_line.bundle_folder import add_bundle_options, check_bundle_folder
from models.command_line.figures import format_figures
from models.command_line.main import make_parser, run_command
from models.data.catalog import NAMES as DATA_SETS
from models.data.datasets import open_data_set
from models.data.decoded import LabelledImages, decode_images
from models.data.others import OTHER, leave_out_others
from models.data.preprocessing import evaluation_preprocessing
from models.errors import DataError, RecipeError
from models.export.bundle import (
    ExportOptions,
    Source,
    export_bundle,
    export_checkpoint,
    load_checkpoint,
)
from models.export.parity import (
    PARITY_INPUTS,
    SEED,
    describe_parity,
    parity_inputs,
)
from models.export.quantize import (
    IMAGES,
    Calibration,
    load_calibration,
)
from models.networks.convert import calibrate
from models.networks.registry import NAMES, build_network, default_image_size
from models.training.checkpoint import Checkpoint
from runtime import Bundle, Preprocessing
from runtime.plan import ARITHMETICS

NOISE_INPUTS = 16  # for the calibration of untrained networks


def _at_least_1(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, found {value}")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.export", __doc__)
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--checkpoint", type=Path, help="checkpoint.pt of models.train")
    parser.add_argument(
        "--unfinished", action="store_true", help="export a training that has not finished"
    )
    parser.add_argument("--num-classes", type=_at_least_1, help="untrained only (default 1000)")
    parser.add_argument(
        "--image-size", type=_at_least_1, help="side of the input (default: the network's)"
    )
    parser.add_argument(
        "--no-self-test",
        action="store_true",
        help="untrained only, for measuring: store no images and answers. With random weights "
        "the answer to every image may depend on rounding",
    )
    parser.add_argument("--parity-inputs", type=_at_least_1, default=PARITY_INPUTS)
    parser.add_argument(
        "--onnx-integer", action="store_true", help="8-bit ConvInteger in the ONNX graph, not Conv"
    )
    parser.add_argument(
        "--float-layers",
        choices=ARITHMETICS,
        default=ARITHMETICS[0],
        help="arithmetic of the float layers, which are those of stem, transitions and head",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        help="int8: data set with training images to fit the levels to (untrained: noise)",
    )
    parser.add_argument(
        "--calibration-images", type=_at_least_1, help=f"int8: number of images (default {IMAGES})"
    )
    parser.add_argument(
        "--evaluation", type=Path, help="int8: data set to measure the accuracy on, test/ or val/"
    )
    parser.add_argument(
        "--set", choices=DATA_SETS, help="int8: the data set that both are copies of"
    )
    add_bundle_options(parser, "folder of the bundle")
    return run_command(parser, arguments, _export_and_tell)


def _export_and_tell(args: argparse.Namespace) -> None:
    check_bundle_folder(args.out, args.replace)
    bundle = _export(args)
    print(
        f"{bundle.path}: {bundle.manifest.name}{'' if bundle.manifest.trained else ' (untrained)'}"
    )
    for name, entry in bundle.manifest.files.items():
        print(f"  {name:<20}{entry.bytes:>12,} bytes")
    if bundle.manifest.quantization:
        print(indent(format_figures({"8-bit float layers": bundle.manifest.quantization}), "  "))
        print(
            "models.export: warning: 8-bit layers are much faster than float32 ones where the CPU "
            "has dot products of bytes (AVX-512 VNNI, ARMv8.2); elsewhere they may take as long. "
            "runtime/README.md has figures",
            file=sys.stderr,
        )
    for name, figures in bundle.manifest.parity.items():
        print(f"  parity, {name:<12}{describe_parity(figures)}")
        if figures.get("top1_agreement", 1) < 1:
            print(
                f"models.export: warning: on some images {name} gives another label than the "
                "training graph; expected only if two classes are almost equal",
                file=sys.stderr,
            )


def _export(args: argparse.Namespace) -> Bundle:
    if args.checkpoint:
        if args.no_self_test:
            raise RecipeError(
                "expected --no-self-test without --checkpoint, found both: a trained network has a "
                "self-test; leave --no-self-test out"
            )
        checkpoint = load_checkpoint(args.checkpoint, args.name)
        _check_checkpoint(args, checkpoint)
        options = _choose_options(args, checkpoint.preprocessing, checkpoint.data.classes)
        return export_checkpoint(checkpoint, args.out, options)
    torch.manual_seed(SEED)
    network = build_network(args.name, args.num_classes or 1000)
    size = default_image_size(network) if args.image_size is None else args.image_size
    try:
        calibrate(network, size)
    except RuntimeError as error:
        raise RecipeError(
            f"expected an --image-size that {args.name} can reduce to a pixel; found {size}"
        ) from error
    labels = [f"class {i}" for i in range(network.num_classes)]
    preprocessing = evaluation_preprocessing(size)
    options = _choose_options(args, preprocessing)
    return export_bundle(Source(network, labels, preprocessing), args.out, options)


def _check_checkpoint(args: argparse.Namespace, checkpoint: Checkpoint) -> None:
    classes, side = len(checkpoint.data.classes), checkpoint.preprocessing.crop
    if args.num_classes not in (None, classes):
        raise RecipeError(
            f"expected --num-classes {classes}, as the checkpoint has; found "
            f"{args.num_classes}. Leave it out."
        )
    if args.image_size not in (None, side):
        raise RecipeError(
            f"expected --image-size {side}, as the checkpoint has; found {args.image_size}. "
            "Leave it out."
        )
    if not checkpoint.finished and not args.unfinished:
        raise RecipeError(
            f"{args.checkpoint}: expected a finished training; found one that has done "
            f"{checkpoint.state.progress.epoch} of {checkpoint.recipe.epochs} epochs. Let it "
            "finish (models.train --resume), or give --unfinished; the manifest then says so."
        )


def _choose_options(
    args: argparse.Namespace, preprocessing: Preprocessing, classes: Sequence[str] = ()
) -> ExportOptions:
    calibration, evaluation = _load_images(args, preprocessing, classes)
    return ExportOptions(
        parity_inputs=args.parity_inputs,
        onnx_integer=args.onnx_integer,
        calibration=calibration,
        evaluation=evaluation,
        self_test=not args.no_self_test,
    )


def _load_images(
    args: argparse.Namespace, preprocessing: Preprocessing, classes: Sequence[str]
) -> tuple[Calibration | None, LabelledImages | None]:
    """What 8-bit float layers are calibrated with and measured on; `classes`: of a training."""
    if args.float_layers == ARITHMETICS[0]:
        if args.calibration or args.evaluation or args.calibration_images or args.set:
            raise RecipeError(
                "--calibration, --calibration-images, --evaluation and --set are for "
                "--float-layers int8; found float32"
            )
        return None, None
    wanted = args.calibration_images or IMAGES
    if args.calibration:
        calibration = load_calibration(args.calibration, preprocessing, wanted, args.set)
        if (found := len(calibration.images)) < wanted:
            print(
                f"models.export: warning: expected {wanted} images for the calibration, found "
                f"{found} in {args.calibration}. Larger values in other images will be cut off. "
                f"Add training images, or accept this with --calibration-images {found}.",
                file=sys.stderr,
            )
    elif args.checkpoint:
        raise RecipeError(
            "expected --calibration DIR with training images for the 8-bit layers of a trained "
            "network, found none; give the data set that it was trained on"
        )
    else:
        side = preprocessing.crop
        count = min(wanted, NOISE_INPUTS)
        calibration = Calibration(parity_inputs((3, side, side), count, SEED + 1), "noise")
    if args.evaluation is None:
        return calibration, None
    data = open_data_set(args.evaluation, args.set, needs_train=False)
    if OTHER in classes:
        data = leave_out_others(data, [name for name in classes if name != OTHER])
    if data.test is None:
        raise DataError(f"{args.evaluation}: expected test/ or val/ in it; found neither")
    return calibration, decode_images(data.test, preprocessing, progress=True)


if __name__ == "__main__":
    sys.exit(main())
