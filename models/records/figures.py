"""What is measured in a training and at its end, as checkpoints and records keep it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from models.records.typed_json import Finite, OptionalCount, OptionalFinite
from runtime import Preprocessing


@dataclass(frozen=True)
class Accuracy:
    """top1 and top5 in percent, the mean cross-entropy, and of how many images."""

    top1: Finite
    top5: Finite
    loss: Finite
    images: int


@dataclass(frozen=True, kw_only=True)
class FinalAccuracy:
    """Accuracy of a split at the end, with calibration errors in percent.

    classes_shown: how many of the network's classes the images show, where these are not all.
    positive_share: of binary activations that are +1; None of a network without.
    """

    split: str
    top1: Finite
    top5: Finite
    loss: Finite
    images: int
    classes_shown: OptionalCount = None
    positive_share: Finite | None = None
    calibration_error: Finite
    calibration_error_with_temperature: OptionalFinite = None


@dataclass(frozen=True)
class Temperature:
    """Logits are divided by it. `images`: how many validation images there were; if they were too
    few to fit a temperature, it is 1, and `fitted` is False.
    """

    temperature: Finite
    images: int
    fitted: Annotated[bool, Field(exclude_if=bool)] = True  # written only if it is False


@dataclass(frozen=True, kw_only=True)
class EpochMetrics:
    """Figures of one epoch: accuracies in percent; seconds are of the training so far.

    turned: percent of the trained binary weights whose sign is not the one of the beginning. With a
        moving average the last epoch's is of the averaged weights.
    """

    epoch: int
    loss: Finite
    train_top1: Finite
    learning_rate: Finite
    turned: OptionalFinite = None
    validation_top1: OptionalFinite = None
    validation_top5: OptionalFinite = None
    validation_loss: OptionalFinite = None
    validation_images: OptionalCount = None
    seconds: OptionalFinite = None
    images_per_second: OptionalFinite = None


@dataclass(frozen=True, kw_only=True)
class Remade:
    """A network changed after its training, without gradients; by which code, and where."""

    train_images: int  # that batch norms were estimated on
    validation: Accuracy | None
    device: str
    threads: int
    torch: str
    commit: str | None
    version: str | None


@dataclass(frozen=True, kw_only=True)
class Adaptation(Remade):
    """How a network was adapted to larger images after its training (models.enlarge)."""

    trained_as: Annotated[Preprocessing, Field(alias="from")]


@dataclass(frozen=True, kw_only=True)
class Averaging(Remade):
    """Which weights a network's are the mean of (models.average): those of `runs` runs, which all
    weigh alike and `share` together, and those that they began with.
    """

    runs: int
    share: Finite


@dataclass(frozen=True)
class HeldOutImages:
    """How many images of labels, of far and of near things, and the digest of them all."""

    images_known: int
    images_far: int
    images_near: int
    sha256: str
