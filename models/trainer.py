"""The training loop: recipe, one run's state, and the accuracy of a network in PyTorch.

The authors' recipe is the default: RAdam, learning rate 0.002 with cosine decay to 0, no weight
decay, cross-entropy, one optimizer for latent and float weights. With mixed precision the sums of
a binary convolution are rounded to bfloat16 during training; accuracy is always measured in
float32, where they are exact.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from models.data import AUGMENTATIONS, DataError, LabelledImages, normalize, split_off
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
) -> dict[str, float]:
    """{"top1", "top5"} in percent and "images", of the network in eval mode, in float32."""
    network.eval()
    hits = torch.zeros(2)
    with torch.no_grad():
        for pixels, labels in zip(
            images.pixels.split(batch), images.labels.split(batch), strict=True
        ):
            logits = network(normalize(pixels, preprocessing))
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
        self.history: list[dict[str, float]] = []
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
        validation = evaluate(self.network, self.validation, self.preprocessing)
        self.seconds += time.perf_counter() - started
        metrics = {
            "epoch": self.epoch,
            "loss": round(total_loss.item() / self.steps_per_epoch, 4),
            "validation_top1": validation["top1"],
            "validation_images": validation["images"],
            "seconds": round(self.seconds, 1),
        }
        self.history.append(metrics)
        return metrics

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
            "history": self.history,
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
        self.history = list(state["history"])
