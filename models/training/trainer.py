"""The training loop: one run's state, that a checkpoint holds, and the steps from it to the end.

All randomness is drawn from (seed, what it is for, its number), none from a global generator: a
resumed run draws what an unbroken one would, and several processes draw the same batch and take
their shares of it. With mixed precision the sums of a binary convolution are rounded to bfloat16
during training; accuracy is always measured in float32, where they are exact.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.data.augmentation import (
    AUGMENTATIONS,
    BLUR_DRAWS,
    COLOR_DRAWS,
    DRAWS,
    MIX_DRAWS,
    blur,
    draw,
    jitter_colors,
    normalize,
    paste_windows,
    view_centre,
)
from models.data.decoded import LabelledImages
from models.data.others import OTHER
from models.errors import CheckpointMismatch, DataError, Diverged, RecipeError
from models.evaluation.metrics import evaluate
from models.networks.binary import BinaryActivation
from models.networks.meliusnet import use_kernels
from models.records.figures import Accuracy, EpochMetrics
from models.training.batch_norms import choose_images, estimate_batch_norms
from models.training.checkpoint import Progress, State
from models.training.distributed import Processes
from models.training.frozen import FrozenGroups, freeze
from models.training.moving_average import keep_average, take_average
from models.training.order import draw_order, repeat_crops
from models.training.progress import EpochBar, RemainingTime
from models.training.recipe import Recipe
from models.training.signs import Signs
from runtime.images import Preprocessing

LOOK_EVERY = 20  # steps between looks at the loss: each makes the CPU wait for a GPU
ORDER, AUGMENTATION, NOISE = 0, 1, 2  # what a generator is for

Teacher = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Execution:
    """How a run is computed: speed, not outcome (but for the last bits of sums)."""

    compile_network: bool = False  # torch.compile
    channels_last: bool = False
    measure_every: int = 1  # epochs between measurements of the validation part
    kernels: bool = False  # the runtime's, for binary layers and frozen groups; float32 on a CPU


def seeded(seed: int, purpose: int, number: int) -> torch.Generator:
    """A generator for one epoch's order or one step's draws, unlike all others."""
    mixed = np.random.SeedSequence([seed, purpose, number]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed) % 2**63)


def distillation_loss(logits: Tensor, answers: Tensor, temperature: float) -> Tensor:
    """Cross-entropy distance of softened answers times T^2 (Hinton et al. 2015); [N, C] both."""
    student = F.log_softmax(logits / temperature, 1)
    wanted = F.log_softmax(answers / temperature, 1)
    divergence = F.kl_div(student, wanted, reduction="batchmean", log_target=True)
    return divergence * temperature**2


class Trainer:
    """One run. `train` are pixels larger than or as large as the network's input, on its device.

    Raises DataError if there are fewer images than processes; RecipeError if the recipe does not
    fit the network.
    """

    def __init__(
        self,
        network: nn.Module,
        train: LabelledImages,
        validation: LabelledImages | None,
        recipe: Recipe,
        preprocessing: Preprocessing,
        *,
        execution: Execution | None = None,
        processes: Processes | None = None,
        teacher: Teacher | None = None,
        targets: Tensor | None = None,
    ) -> None:
        self.network, self.train, self.validation = network, train, validation
        self.recipe, self.preprocessing, self.teacher = recipe, preprocessing, teacher
        self.targets = targets
        self.execution = execution or Execution()
        self.processes = processes or Processes()
        self.device = train.pixels.device
        self.batch = min(recipe.batch, len(train) // self.processes.count * self.processes.count)
        if self.batch == 0:
            raise DataError(
                f"expected at least one image per process; found {len(train)} images and "
                f"{self.processes.count} processes"
            )
        self._other = train.classes.index(OTHER) if OTHER in train.classes else None
        if recipe.other_share and (self._other is None or self._other not in train.labels):
            raise RecipeError(
                f"expected images of the class {OTHER!r} for --other-share; found none. Leave it "
                "out."
            )
        self.processes.check_batch(self.batch)
        self.steps_per_epoch = len(train) // self.batch
        self.steps = recipe.epochs * self.steps_per_epoch
        if self.execution.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._frozen = freeze(network, recipe.freeze)
        self._signs = Signs(network)
        self._first: FrozenGroups | None = None
        self._activations = [m for m in network.modules() if isinstance(m, BinaryActivation)]
        if recipe.noise and not self._activations:
            raise RecipeError(
                "expected a binary network for --noise; found one without binary layers. Leave "
                "it out."
            )
        self._set_noise(recipe.noise)
        if self.execution.kernels:
            use_kernels(network)
        self.optimizer = recipe.make_optimizer(network)
        if recipe.ema:
            keep_average(self.optimizer, recipe.ema)
        forward = self.processes.wrap(network)
        self.forward = torch.compile(forward) if self.execution.compile_network else forward
        self.step = 0
        self.seconds = 0.0
        self.history: list[EpochMetrics] = []
        self._sums = torch.zeros(2, device=self.device)  # of this epoch so far: loss, hits
        self._time = RemainingTime(self.batch, len(validation) if validation else 0)

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self.step // self.steps_per_epoch

    @property
    def finished(self) -> bool:
        return self.step >= self.steps

    def run_epoch(
        self, progress: bool = False, after_step: Callable[[], None] | None = None
    ) -> EpochMetrics:
        """Trains to the end of the epoch begun, measures; returns the metrics.

        `after_step` may save `state()`; it is not called after the epoch's last step, whose figures
        belong to an epoch that has no metrics yet. Raises Diverged.
        """
        epoch, first = divmod(self.step, self.steps_per_epoch)
        clock = time.perf_counter()
        self.network.train()
        for module in self._frozen:
            module.eval()
        if self._frozen and self.execution.kernels and self._first is None:
            side = self.preprocessing.crop
            self._first = FrozenGroups(self.network, len(self._frozen), side)
        order = self._draw_order(epoch).to(self.device)
        title = f"epoch {epoch + 1}/{self.recipe.epochs}"
        with EpochBar(title, self.steps_per_epoch, first, self._time, progress) as bar:
            for i in range(first, self.steps_per_epoch):
                self._train_step(order[i * self.batch : (i + 1) * self.batch])
                self.step += 1
                look = progress and (i % LOOK_EVERY == 1 or i == self.steps_per_epoch - 1)
                loss = self._sums[0].item() / (i + 1) if look else None
                measurements = math.ceil((self.recipe.epochs - epoch) / self._every)
                bar.step(loss, self.batch, self.steps - self.step, measurements)
                now = time.perf_counter()
                self.seconds, clock = self.seconds + now - clock, now
                if after_step and i < self.steps_per_epoch - 1:
                    after_step()
                    clock = time.perf_counter()
        return self._end_epoch(epoch + 1)

    def _draw_order(self, epoch: int) -> Tensor:
        """Which images an epoch has: each once, or some classes more often, or several crops."""
        chance, recipe = seeded(self.recipe.seed, ORDER, epoch), self.recipe
        labels, share = self.train.labels, recipe.other_share
        order = draw_order(labels, chance, recipe.balance, self._other, share)
        return repeat_crops(order, recipe.crops)

    @property
    def _every(self) -> int:
        return self.execution.measure_every

    def _end_epoch(self, epoch: int) -> EpochMetrics:
        started = time.perf_counter()
        if self.finished and self.recipe.ema:
            self._take_average()
        loss, hits = self._sums.tolist()
        self._sums.zero_()
        self._check_loss(loss, "loss", epoch)
        validation: Accuracy | None = None
        measured = epoch % self._every == 0 or self.finished
        if self.validation is not None and measured and self.processes.first:
            validation = evaluate(self.network, self.validation, self.preprocessing)
            # The training loss is from before the last steps, and of a batch's own statistics.
            self._check_loss(validation.loss, "validation loss", epoch)
            self._time.measurement_done(time.perf_counter() - started)
        self.processes.wait()
        self.seconds += time.perf_counter() - started
        step, turned = self._time.seconds_per_step, self._signs.turned()
        metrics = EpochMetrics(
            epoch=epoch,
            loss=round(loss / self.steps_per_epoch, 4),
            train_top1=round(100 * hits / self.steps_per_epoch, 2),
            learning_rate=float(f"{self._learning_rate(self.step - 1):.3g}"),
            turned=None if turned is None else round(turned, 3),
            **{f"validation_{k}": v for k, v in asdict(validation).items()} if validation else {},
            seconds=round(self.seconds, 1),
            images_per_second=round(self.batch / step, 1) if step else None,
        )
        self.history.append(metrics)
        return metrics

    def _take_average(self) -> None:
        take_average(self.optimizer)
        self._set_noise(0.0)  # batch norms are those of maps without it, as in evaluation
        seen = self.train.select(choose_images(len(self.train)).to(self.device))
        seen = replace(seen, pixels=view_centre(seen.pixels, self.preprocessing))
        estimate_batch_norms(self.network, seen, self.preprocessing, self._frozen)

    def _check_loss(self, loss: float, name: str, epoch: int) -> None:
        if not math.isfinite(loss):
            raise Diverged(
                f"expected a finite {name}, found {loss} in epoch {epoch}. Lower --learning-rate "
                f"(now {self.recipe.learning_rate}), or leave out --mixed-precision."
            )

    def _learning_rate(self, step: int) -> float:
        return self.recipe.learning_rate_at(step, self.steps_per_epoch)

    def _train_step(self, index: Tensor) -> None:
        recipe = self.recipe
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(self.step)
        chance = seeded(recipe.seed, AUGMENTATION, self.step)
        draws = draw(len(index), chance, sum(self._draws))
        index, draws = self.processes.share(index), self.processes.share(draws)
        stored = self.targets[index] if self.targets is not None else None
        labels = self.train.labels[index]
        pixels, left = self._augment(self.train.pixels[index], draws)
        inputs, options = normalize(pixels, self.preprocessing), {}
        if self._first is not None:
            inputs, options = self._first(inputs), {"skip": len(self._frozen)}
        if self.execution.channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        if recipe.noise:
            self._draw_noise()
        with self._autocast():
            logits = self.forward(inputs, **options)
        logits = logits.float()
        wanted = self._wanted(labels, stored)
        if left is not None:
            wanted = torch.lerp(wanted.flip(0), wanted, left[:, None])
        loss = F.cross_entropy(logits, wanted)
        if self.teacher is not None:
            with torch.no_grad(), self._autocast():
                answers = self.teacher(pixels).float()
            taught = distillation_loss(logits, answers, recipe.distillation_temperature)
            loss = torch.lerp(loss, taught, recipe.distillation)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        hits = (logits.detach().argmax(1) == labels).float().mean()
        self._sums += torch.stack((loss.detach(), hits))

    def _set_noise(self, deviation: float) -> None:
        for activation in self._activations:
            activation.noise = deviation

    def _draw_noise(self) -> None:
        """Gives the activations this step's generator, another one in each process."""
        number = self.step * self.processes.count + self.processes.rank
        seed = seeded(self.recipe.seed, NOISE, number).initial_seed()
        generator = torch.Generator(self.device).manual_seed(seed)
        for activation in self._activations:
            activation.generator = generator

    def _wanted(self, labels: Tensor, stored: Tensor | None) -> Tensor:
        """Float [N, classes]: the labels, smoothed, and a share of the stored answers."""
        classes, recipe = len(self.train.classes), self.recipe
        wanted = F.one_hot(labels, classes).float()
        wanted = torch.lerp(wanted, torch.full_like(wanted, 1 / classes), recipe.label_smoothing)
        return wanted if stored is None else torch.lerp(wanted, stored, recipe.distillation)

    @property
    def _draws(self) -> tuple[int, int, int, int]:
        """Numbers per image for windows, colours, blur and pasted windows."""
        recipe = self.recipe
        optional = (COLOR_DRAWS, recipe.color_jitter), (BLUR_DRAWS, recipe.blur)
        colors, blurred, mixed = (n * (x > 0) for n, x in (*optional, (MIX_DRAWS, recipe.cutmix)))
        return DRAWS, colors, blurred, mixed

    def _augment(self, pixels: Tensor, draws: Tensor) -> tuple[Tensor, Tensor | None]:
        """The pixels and, if windows of others are in them, what is left of each image."""
        recipe = self.recipe
        windows, colors, blurred, mixed = draws.split(self._draws, 1)
        augment = AUGMENTATIONS[recipe.augmentation]
        pixels = augment(pixels, windows, self.preprocessing.crop, recipe.min_area)
        if recipe.color_jitter:
            pixels = jitter_colors(pixels, colors, recipe.color_jitter)
        if recipe.blur:
            pixels = blur(pixels, blurred, recipe.blur)
        return paste_windows(pixels, mixed, recipe.cutmix) if recipe.cutmix else (pixels, None)

    def _autocast(self) -> AbstractContextManager[Any]:
        if not self.recipe.mixed_precision:
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def state(self) -> State:
        """What a checkpoint holds, at any step."""
        loss, hits = self._sums.tolist()
        progress = Progress(
            step=self.step,
            epoch=self.epoch,
            sums=(loss, hits),
            seconds=self.seconds,
            history=tuple(self.history),
            recipe=self.recipe,
        )
        return State(self.network.state_dict(), self.optimizer.state_dict(), progress)

    def restore(self, state: State) -> None:
        """Goes on from state(). Raises CheckpointMismatch if it came from another recipe."""
        progress = state.progress
        asked, made_with = asdict(self.recipe), asdict(progress.recipe)
        if other := {k: v for k, v in made_with.items() if asked[k] != v}:
            raise CheckpointMismatch(
                f"the checkpoint was made with {other}, this run asks for "
                f"{ {k: asked[k] for k in other} }; give the same options, or another --out"
            )
        self.network.load_state_dict(state.model)
        self.optimizer.load_state_dict(dict(state.optimizer))
        self.step, self.seconds = progress.step, progress.seconds
        self._sums = torch.tensor(progress.sums, device=self.device)
        self.history = list(progress.history)
