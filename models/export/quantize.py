"""Float layers of a plan -> 8-bit ones: weights per output channel, activations from calibration.

A layer's input becomes 256 levels from 0 to what calibration images reach there; its weights
become -127..127, symmetric, with a scale for each output. The stem's first convolution stays float:
its input has a sign. runtime/csrc/bnn.h defines the arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from models.export.convert import Array, Converted, Step
from runtime import Preprocessing
from runtime.reference import FloatNetwork

LEVELS, WEIGHTS = 255, 127  # the largest of each
IMAGES = 128
SEED = 321


@dataclass(frozen=True)
class Calibration:
    """Normalised images float32 [N, 3, H, W] and where they are from, for the manifest."""

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
    """Images of the training part of a data set, a seeded choice; name: what it is a copy of.

    Raises DataError.
    """
    files = open_data_set(data, name).train
    order = torch.randperm(len(files), generator=torch.Generator().manual_seed(SEED))
    chosen = files.select(order[:count].tolist())
    images = decode_images(chosen, preprocessing, title="calibration", progress=progress)
    return Calibration(normalize(images.pixels, preprocessing).numpy(), "train")


def quantized_layers(plan: Sequence[Step]) -> Iterator[tuple[Step, str]]:
    """The layers that become 8-bit ones, in execution order: what describes each, and the name that
    its tensors begin with. The descriptions are the plan's own.
    """
    for step in plan:
        if step["part"] == "stem":
            for i, conv in enumerate(step["convolutions"]):
                if i > 0 and step["convolutions"][i - 1]["relu"]:
                    yield conv, f"{step['name']}.conv{i}"
        elif step["part"] in ("transition", "head"):
            yield step, str(step["name"])


def measure_ranges(converted: Converted, images: NDArray[np.float32]) -> list[float]:
    """The largest input of each layer, in the order of quantized_layers. Cutting off rare larger
    values makes levels finer, but changes the logits of the trained default network more.
    """
    network = FloatNetwork(converted.plan, converted.tensors)
    layers: list[nn.Module] = []
    for step, part in zip(converted.plan, network.children(), strict=True):
        found = [m for m in part.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        if step["part"] == "stem":
            convolutions = step["convolutions"]
            found = [m for i, m in enumerate(found) if i > 0 and convolutions[i - 1]["relu"]]
        layers += found if step["part"] != "stage" else []
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
    plan = [_copy(step) for step in converted.plan]
    tensors: dict[str, Array] = dict(converted.tensors)
    for (layer, name), reach in zip(quantized_layers(plan), ranges, strict=True):
        layer["arithmetic"] = "int8"
        weight, scale = quantize_weights(tensors[f"{name}.weight"])
        # A layer whose input is always zero keeps one level that is never reached.
        step = reach / LEVELS if reach > 0 else 1.0
        inverse = np.float32(1 / step)
        tensors[f"{name}.weight"] = weight
        tensors[f"{name}.inverse_step"] = np.array([inverse], np.float32)
        tensors[f"{name}.sum_scale"] = (scale / np.float64(inverse)).astype(np.float32)
    return Converted(plan, tensors)


def quantize_weights(
    weight: NDArray[np.float32],
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """(int8 in the shape of weight, scale [out]) with weight about int8 * scale."""
    axes = tuple(range(1, weight.ndim))
    largest = np.abs(weight).max(axis=axes).astype(np.float64)
    scale = np.where(largest > 0, largest, 1.0) / WEIGHTS
    levels = np.rint(weight / scale.reshape(-1, *[1] * len(axes)))
    return levels.astype(np.int8), scale


def _copy(step: Mapping[str, Any]) -> Step:
    copied = dict(step)
    if "convolutions" in copied:
        copied["convolutions"] = [dict(conv) for conv in copied["convolutions"]]
    return copied
