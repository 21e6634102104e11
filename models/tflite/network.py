"""What a quantised .tflite network is made of, the joining of its parts, and what can be wrong.

Per-tensor uint8 networks that are one chain of convolutions, as Google's MobileNet-v1 is. Batch
norm is folded into the weights; RESHAPE and SOFTMAX are left out: a bundle answers with logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.errors import TrainingFault


class TfliteError(TrainingFault):
    """Files that cannot be imported; the message says expected, found and remedy."""


class InvalidTflite(TfliteError):
    """Not a .tflite file, or a damaged one."""


class UnsupportedTflite(TfliteError):
    """A sound file of a network that is not imported."""


class MismatchedParts(TfliteError):
    """Files that do not follow each other in one network."""


@dataclass(frozen=True)
class Quantization:
    """real = (q - zero_point) * scale, one pair for the whole tensor."""

    scale: float  # a float32
    zero_point: int


@dataclass(frozen=True)
class FeatureMap:
    """A uint8 tensor between layers, of one image."""

    shape: tuple[int, int, int]  # height, width, channels
    quantization: Quantization

    def __str__(self) -> str:
        scale, zero_point = self.quantization.scale, self.quantization.zero_point
        return f"uint8 {list(self.shape)} of scale {scale:.9g}, zero point {zero_point}"


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution with bias and, if `relu6`, the clamp to [0, 6] behind it."""

    input: FeatureMap
    output: FeatureMap
    weight: NDArray[np.uint8]  # [out, in / groups, height, width]
    weight_quantization: Quantization
    bias: NDArray[np.int32]  # [out], zero point 0
    bias_scale: float
    strides: tuple[int, int]  # down, across
    padding: tuple[int, int, int, int]  # top, left, bottom, right
    groups: int
    relu6: bool


@dataclass(frozen=True)
class AveragePool:
    """The mean over all pixels; input and output have one quantisation."""

    input: FeatureMap
    output: FeatureMap


Layer = Convolution | AveragePool


@dataclass(frozen=True)
class Part:
    """The layers of one file, at least one: the whole network's or some of them."""

    name: str  # of the file
    layers: tuple[Layer, ...]

    @property
    def input(self) -> FeatureMap:
        return self.layers[0].input

    @property
    def output(self) -> FeatureMap:
        return self.layers[-1].output


def join_parts(parts: Sequence[Part]) -> tuple[Layer, ...]:
    """The layers of a whole classifier, from an RGB image to logits, whose files are given in
    order.

    Raises MismatchedParts, UnsupportedTflite.
    """
    for before, after in pairwise(parts):
        if before.output != after.input:
            if all(b.output == a.input for b, a in pairwise(reversed(parts))):
                order = " ".join(part.name for part in reversed(parts))
                remedy = f"They are parts of one network in another order; give {order}."
            else:
                remedy = "These files are not of one network; import each network by itself."
            raise MismatchedParts(
                f"expected the input of {after.name} to be the output of {before.name}, "
                f"{before.output}; found {after.input}. {remedy}"
            )
    first, last = parts[0], parts[-1]
    height, width, channels = first.input.shape
    if channels != 3 or height != width:
        raise UnsupportedTflite(
            f"{first.name}: expected a square RGB image as input, found {first.input}. If it is "
            "the second part of a network, give the first part before it."
        )
    if last.output.shape[:2] != (1, 1) or not isinstance(last.layers[-1], Convolution):
        raise UnsupportedTflite(
            f"{last.name}: expected a classifier, which ends with a convolution on one pixel; "
            f"found the end {last.output}. If it is the first part of a network, give the other "
            "part after it."
        )
    return tuple(layer for part in parts for layer in part.layers)
