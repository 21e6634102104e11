"""Trains a network on labelled pictures: python -m models.train NAME --data DIR --out DIR.

The recipe is the authors': RAdam, learning rate 0.002 with cosine decay to 0, no weight decay,
cross-entropy, one optimizer for latent and float weights. Writes checkpoint.pt after every epoch
(--resume goes on from it) and one line of metrics.jsonl. DATA has train/ and, for the final
measurement, test/ or val/, each with a sub-folder per class, or the same as packs: train.npz,
test.npz or val.npz.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
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
    normalize,
    split_off,
)
from models.zoo import NAMES, build_network, default_image_size
from runtime.preprocess import Preprocessing


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run besides network and data."""

    epochs: int = 120
    batch: int = 64
    learning_rate: float = 0.002
    seed: int = 123
    augmentation: str = "resized_crop"
    validation_share: float = 0.02  # of train, held back to watch progress
    mixed_precision: bool = False  # bfloat16 autocast


def evaluate(
    network: nn.Module,
    images: LabelledImages,
    preprocessing: Preprocessing,
    batch: int = 250,
    mixed_precision: bool = False,
) -> dict[str, float]:
    """{"top1", "top5"} in percent and "images", of the network in eval mode."""
    network.eval()
    hits = torch.zeros(2)
    with torch.no_grad(), _autocast(images.pixels.device, mixed_precision):
        for pixels, labels in zip(
            images.pixels.split(batch), images.labels.split(batch), strict=True
        ):
            logits = network(normalize(pixels, preprocessing)).float()
            best = logits.topk(min(5, logits.shape[1])).indices
            hit = best == labels[:, None]
            hits += torch.stack((hit[:, 0].sum(), hit.sum())).cpu()
    top1, top5 = (100 * hits / len(images)).tolist()
    return {"top1": round(top1, 2), "top5": round(top5, 2), "images": len(images)}


def _autocast(device: torch.device, enabled: bool) -> Any:
    return torch.autocast(device.type, torch.bfloat16) if enabled else nullcontext()


def cosine(step: int, steps: int) -> float:
    """Factor of the learning rate: 1 at step 0, 0 at `steps`."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


class Trainer:
    """One training run: the state that a checkpoint holds and the loop over epochs."""

    def __init__(
        self,
        network: nn.Module,
        images: LabelledImages,
        recipe: Recipe,
        preprocessing: Preprocessing,
        compile_network: bool = False,
    ) -> None:
        self.network, self.recipe, self.preprocessing = network, recipe, preprocessing
        self.train_images, self.validation = split_off(images, recipe.validation_share, recipe.seed)
        self.device = images.pixels.device
        self.forward = torch.compile(network) if compile_network else network
        self.optimizer = torch.optim.RAdam(network.parameters(), lr=recipe.learning_rate)
        self.epoch = 0
        self.seconds = 0.0
        self.steps_per_epoch = max(1, len(self.train_images) // recipe.batch)

    def run_epoch(self, progress: bool = True) -> dict[str, float]:
        """Trains one epoch, then measures the validation share; returns the metrics."""
        started = time.perf_counter()
        self.network.train()
        # All randomness comes from (seed, epoch): a resumed run draws what an unbroken one would.
        generator = torch.Generator().manual_seed(self.recipe.seed * 100_003 + self.epoch)
        order = torch.randperm(len(self.train_images), generator=generator).to(self.device)
        total_loss = torch.zeros((), device=self.device)
        bar = tqdm(
            range(self.steps_per_epoch),
            f"epoch {self.epoch + 1}/{self.recipe.epochs}",
            disable=not progress,
            unit="batch",
            mininterval=5,
        )
        for i in bar:
            index = order[i * self.recipe.batch : (i + 1) * self.recipe.batch]
            total_loss += self._step(index, generator, self.epoch * self.steps_per_epoch + i)
            if progress and i % 50 == 49:
                bar.set_postfix(loss=f"{total_loss.item() / (i + 1):.3f}")
        self.epoch += 1
        validation = evaluate(
            self.network,
            self.validation,
            self.preprocessing,
            mixed_precision=self.recipe.mixed_precision,
        )
        self.seconds += time.perf_counter() - started
        return {
            "epoch": self.epoch,
            "loss": round(total_loss.item() / self.steps_per_epoch, 4),
            "validation_top1": validation["top1"],
            "validation_images": validation["images"],
            "seconds": round(self.seconds, 1),
        }

    def _step(self, index: Tensor, generator: torch.Generator, step: int) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * cosine(
                step, self.recipe.epochs * self.steps_per_epoch
            )
        augment = AUGMENTATIONS[self.recipe.augmentation]
        pixels = augment(self.train_images.pixels[index], generator)
        with _autocast(self.device, self.recipe.mixed_precision):
            logits = self.forward(normalize(pixels, self.preprocessing))
        loss = F.cross_entropy(logits.float(), self.train_images.labels[index])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds.

        Only tensors, numbers and text, so that it loads without unpickling code.
        """
        return {
            "model": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "seconds": self.seconds,
            "recipe": asdict(self.recipe),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from state(). Raises DataError if it came from another recipe."""
        if state["recipe"] != asdict(self.recipe):
            raise DataError(
                f"the checkpoint was made with {state['recipe']}, this run asks for "
                f"{asdict(self.recipe)}; "
                "give the same options, or another --out"
            )
        self.network.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.seconds = state["epoch"], state["seconds"]


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Writes beside the target, then renames: a killed run leaves the last whole checkpoint."""
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    partial.replace(path)


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
    parser.add_argument("--epochs", type=int, default=defaults.epochs)
    parser.add_argument("--batch", type=int, default=defaults.batch)
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--augmentation", choices=AUGMENTATIONS, default=defaults.augmentation)
    parser.add_argument("--validation-share", type=float, default=defaults.validation_share)
    parser.add_argument("--mixed-precision", action="store_true", help="bfloat16 autocast")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
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
    images = load_images(train_path, preprocessing, not args.quiet).to(device)
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
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint = args.out / "checkpoint.pt"
    if args.resume and checkpoint.exists():
        trainer.restore(torch.load(checkpoint, map_location=device, weights_only=True)["state"])
    header = {
        "network": args.name,
        "classes": list(images.classes),
        "preprocessing": asdict(preprocessing),
        "data": args.data_name or args.data.resolve().name,
        "train_images": len(trainer.train_images),
        "device": platform.processor() or platform.machine() if device.type == "cpu" else "cuda",
        "torch": str(torch.__version__),  # a plain text, so that checkpoints load safely
    }
    while trainer.epoch < recipe.epochs:
        metrics = trainer.run_epoch(not args.quiet)
        with (args.out / "metrics.jsonl").open("a") as log:
            log.write(json.dumps(metrics) + "\n")
        tqdm.write(json.dumps(metrics))
        save_checkpoint(checkpoint, {**header, "state": trainer.state(), "test": None})
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
