"""Trains a network on labelled pictures: python -m models.train NAME --data DIR --out DIR.

Writes checkpoint.pt after every epoch (--resume goes on from it, exactly) and the metrics so far as
metrics.jsonl. DATA has train/ and, for the final measurement, test/ or val/, each with a sub-folder
per class, or the same as packs: train.npz, test.npz or val.npz. The recipe is in models.trainer.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from models.data import (
    AUGMENTATIONS,
    HELD_OUT,
    MEAN,
    STD,
    DataError,
    LabelledImages,
    find_split,
    load_images,
)
from models.trainer import Recipe, Trainer, evaluate
from models.zoo import NAMES, build_network, default_image_size
from runtime.preprocess import Preprocessing

# What may differ between the parts of a resumed run.
MAY_DIFFER = frozenset({"device", "torch"})


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Writes beside the target, then renames: a killed run leaves the last whole checkpoint."""
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    partial.replace(path)


def digest(images: LabelledImages) -> str:
    """sha256 over classes, labels and pixels: the same pictures in the same order."""
    total = hashlib.sha256(json.dumps(images.classes).encode())
    total.update(images.labels.cpu().numpy().tobytes())
    total.update(images.pixels.cpu().numpy().tobytes())
    return total.hexdigest()


def resume(trainer: Trainer, path: Path, header: dict[str, Any], asked: bool) -> None:
    """Goes on from a checkpoint of the same run.

    Raises DataError if that was not asked for, or if network, classes, preprocessing or pictures
    are others.
    """
    if not asked:
        raise DataError(f"{path} exists; give --resume to go on from it, or another --out")
    content = torch.load(path, map_location=trainer.device, weights_only=True)
    for key, value in header.items():
        if key not in MAY_DIFFER and content.get(key) != value:
            raise DataError(
                f"{path}: made with {key} {str(content.get(key))[:200]}, this run has "
                f"{str(value)[:200]}; give the same data and network, or another --out"
            )
    trainer.restore(content["state"])


def positive(text: str) -> int:
    """A whole number above 0, for the command line."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, found {value}")
    return value


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    defaults = Recipe()
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__)
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--data", type=Path, required=True, help="directory with train/ and test/")
    parser.add_argument(
        "--data-name", help="what the data set is called in records (default: the directory)"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="directory for checkpoint and metrics"
    )
    parser.add_argument("--image-size", type=int, help="side of the input (default: the network's)")
    parser.add_argument("--epochs", type=positive, default=defaults.epochs)
    parser.add_argument("--batch", type=positive, default=defaults.batch)
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--augmentation", choices=AUGMENTATIONS, default=defaults.augmentation)
    parser.add_argument("--validation-share", type=float, default=defaults.validation_share)
    parser.add_argument("--mixed-precision", action="store_true", help="bfloat16 autocast")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network")
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    parser.add_argument("--device", choices=devices, default=devices[-1])
    parser.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's)")
    parser.add_argument("--resume", action="store_true", help="go on from OUT/checkpoint.pt")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    args = parse_arguments(arguments)
    try:
        train(args)
    except DataError as error:
        print(f"models.train: {error}", file=sys.stderr)
        return 2
    return 0


def train(args: argparse.Namespace) -> None:
    """Runs what the command line asks for. Raises DataError."""
    if args.threads:
        torch.set_num_threads(args.threads)
    train_path = find_split(args.data, ("train",))
    test_path = find_split(args.data, HELD_OUT)
    if train_path is None:
        raise DataError(f"{args.data}: expected train/ or train.npz in it; found neither")
    torch.manual_seed(args.seed)
    size = args.image_size or default_image_size(build_network(args.name))
    preprocessing = Preprocessing(size, size, "bilinear", MEAN, STD)
    device = torch.device(args.device)
    images = load_images(train_path, preprocessing, not args.quiet, training=True).to(device)
    torch.manual_seed(args.seed)
    network = build_network(args.name, len(images.classes)).to(device)
    recipe = Recipe(
        args.epochs,
        args.batch,
        args.learning_rate,
        args.seed,
        args.augmentation,
        args.validation_share,
        args.mixed_precision,
    )
    trainer = Trainer(network, images, recipe, preprocessing, args.compile)
    header = {
        "network": args.name,
        "classes": list(images.classes),
        "preprocessing": asdict(preprocessing),
        "data": args.data_name or args.data.resolve().name,
        "data_sha256": digest(images),
        "train_images": len(trainer.train_images),
        "device": platform.processor() or platform.machine() if device.type == "cpu" else "cuda",
        "torch": str(torch.__version__),  # a plain text, so that checkpoints load safely
    }
    checkpoint = args.out / "checkpoint.pt"
    if checkpoint.exists():
        resume(trainer, checkpoint, header, asked=args.resume)
    args.out.mkdir(parents=True, exist_ok=True)
    while trainer.epoch < recipe.epochs:
        metrics = trainer.run_epoch(not args.quiet)
        save_checkpoint(checkpoint, {**header, "state": trainer.state(), "test": None})
        lines = [json.dumps(line) + "\n" for line in trainer.history]
        (args.out / "metrics.jsonl").write_text("".join(lines))
        tqdm.write(json.dumps(metrics))
    if test_path is None:
        print(f"{args.data}: no {' or '.join(HELD_OUT)} split, so no accuracy is recorded")
        return
    held_out = load_images(test_path, preprocessing, not args.quiet).to(device)
    if held_out.classes != images.classes:
        raise DataError(f"{test_path}: classes differ from those of {train_path}")
    test = {"split": test_path.stem, **evaluate(network, held_out, preprocessing)}
    save_checkpoint(checkpoint, {**header, "state": trainer.state(), "test": test})
    print(json.dumps({"test": test}))


if __name__ == "__main__":
    sys.exit(main())
