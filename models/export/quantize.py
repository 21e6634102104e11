"""Float layers of a plan -> 8-bit ones: weights per output channel, activations from calibration.

A layer's input becomes 256 levels from 0 to its max on the calibration images; its weights
become -127..127, symmetric, with a scale for each output. The stem's first convolution stays float:
its input has a sign. runtime/csrc/bnn.h defines the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.data.augmentation import normalize
from models.data.datasets import open_data_set
from models.data.decoded import decode_images
from models.errors import DataError
from models.networks.convert import Array, Converted
from runtime import Preprocessing
from runtime.engines.reference import FloatNetwork
from runtime.plan import HeadStep, Plan, StageStep, StemStep, Step, TransitionStep

LEVELS, WEIGHTS = 255, 127  # max values
IMAGES = 128
SEED = 321


@dataclass(frozen=True)
class Calibration:
    """Normalised images float32 [N, 3, H, W], and their source for the manifest."""

    images: NDArray[np.float32]
    source: str

    def record(self) -> dict[str, Any]:
        return {"source": self.source, "images": len(self.images), "range": "maximum"}


def load_calibration(
    data: Path,
    preprocessing: Preprocessing,
    count: int = IMAGES,
    name: str | None = None,
    progress: bool = True,
) -> Calibration:
    """Training images of a data set, chosen by a seed; name: the set it is a copy of.

    Raises DataError.
    """
    files = open_data_set(data, name).train
    order = torch.randperm(len(files), generator=torch.Generator().manual_seed(SEED))
    chosen = files.select(order[:count].tolist())
    images = decode_images(chosen, preprocessing, title="calibration", progress=progress)
    return Calibration(normalize(images.pixels, preprocessing).numpy(), "train")


def quantized_layers(plan: Plan) -> list[str]:
    """The layers that become 8-bit ones, in execution order, by the prefix of their tensors."""
    names: list[str] = []
    for step in plan:
        match step:
            case StemStep():
                names += [f"{step.name}.conv{i}" for i in _after_relu(step)]
            case TransitionStep() | HeadStep():
                names.append(step.name)
            case StageStep():
                pass
    return names


def _after_relu(stem: StemStep) -> list[int]:
    """The convolutions whose input has no sign."""
    return [i for i, conv in enumerate(stem.convolutions[:-1], 1) if conv.relu]


def _in_int8(step: Step) -> Step:
    match step:
        case StemStep():
            layers, chosen = step.convolutions, _after_relu(step)
            convolutions = tuple(
                replace(conv, arithmetic="int8") if i in chosen else conv
                for i, conv in enumerate(layers)
            )
            return replace(step, convolutions=convolutions)
        case TransitionStep() | HeadStep():
            return replace(step, arithmetic="int8")
        case StageStep():
            return step


def measure_ranges(converted: Converted, images: NDArray[np.float32]) -> list[float]:
    """The largest input of each layer, in the order of quantized_layers. Cutting off rare larger
    values makes levels finer, but changes the logits of the trained default network more.
    """
    network = FloatNetwork(converted.plan, converted.tensors)
    layers: list[nn.Module] = []
    for step, part in zip(converted.plan, network.children(), strict=True):
        found = [m for m in part.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        if isinstance(step, StemStep):
            found = [found[i] for i in _after_relu(step)]
        layers += found
    seen: list[float] = []  # of all layers, image after image

    def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(float(inputs[0].max()))

    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    with torch.inference_mode():
        for image in images:
            network(torch.from_numpy(image[np.newaxis]))
    for hook in hooks:
        hook.remove()
    if not seen:
        raise DataError("expected at least one image to calibrate with, found none")
    if not np.isfinite(seen).all():
        raise DataError("expected finite inputs of all layers on the calibration images")
    reached = np.array(seen).reshape(len(images), -1).max(axis=0)
    return [max(0.0, float(value)) for value in reached]


def quantize(converted: Converted, ranges: Sequence[float]) -> Converted:
    """The same network with 8-bit layers; ranges as measure_ranges gives them."""
    tensors: dict[str, Array] = dict(converted.tensors)
    for name, reach in zip(quantized_layers(converted.plan), ranges, strict=True):
        weight, scale = quantize_weights(tensors[f"{name}.weight"])
        # A layer whose input is always zero keeps one level that is never reached.
        step = reach / LEVELS if reach > 0 else 1.0
        inverse = np.float32(1 / step)
        tensors[f"{name}.weight"] = weight
        tensors[f"{name}.inverse_step"] = np.array([inverse], np.float32)
        tensors[f"{name}.sum_scale"] = (scale / np.float64(inverse)).astype(np.float32)
    return Converted(list(map(_in_int8, converted.steps)), tensors)


def quantize_weights(
    weight: NDArray[np.float32],
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """(int8 in the shape of weight, scale [out]) with weight about int8 * scale."""
    axes = tuple(range(1, weight.ndim))
    largest = np.abs(weight).max(axis=axes).astype(np.float64)
    scale = np.where(largest > 0, largest, 1.0) / WEIGHTS
    levels = np.rint(weight / scale.reshape(-1, *[1] * len(axes)))
    return levels.astype(np.int8), scale
