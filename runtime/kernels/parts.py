"""Descriptions of layer groups ("parts") as the kernel library takes them: plain NumPy records."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Words = NDArray[np.uint32]
Weights = NDArray[np.float32] | NDArray[np.int8]
Part = NDArray[np.uint8]


@dataclass(frozen=True)
class Implementation:
    """One set of kernels: its name, the CPU features it needs, and whether this CPU has them."""

    name: str
    features: str
    supported: bool


@dataclass(frozen=True)
class Window:
    """A square window of a convolution or pool and its padding: before = top and left."""

    kernel: int
    stride: int
    padding_before: int = 0
    padding_after: int = 0


@dataclass(frozen=True)
class Int8:
    """How a layer with int8 weights reads its input, round(x * inverse_step) within 0..255, and
    what one unit of its sums is worth: scale [out].
    """

    scale: Floats
    inverse_step: float


@dataclass(frozen=True)
class Convolution:
    """weight [out, in / groups, k, k], bias [out] or None for zeros.

    In float32, or with `int8` in 8-bit arithmetic.
    """

    weight: Weights
    bias: Floats | None
    window: Window
    groups: int = 1
    relu: bool = False
    int8: Int8 | None = None


@dataclass(frozen=True)
class Stem:
    """Convolutions on images of [height, width], then a max pool if there is one."""

    height: int
    width: int
    convolutions: Sequence[Convolution]
    pool: Window | None = None


@dataclass(frozen=True)
class BinaryLayer:
    """weight [64, 3, 3, c / 32] words, threshold [c], flip [c / 32] words.

    c counts all channels that are present when the layer reads.
    """

    weight: Words
    threshold: Floats
    flip: Words
    is_improvement: bool


@dataclass(frozen=True)
class Stage:
    """Binary layers in order of execution; padding is the value (-1, 0, +1) around the map."""

    channels_in: int
    height: int
    width: int
    padding: int
    layers: Sequence[BinaryLayer]


@dataclass(frozen=True)
class Transition:
    """scale * x + shift, max pool, ReLU, channel shuffle, 1x1 convolution; scale and shift [c]."""

    scale: Floats
    shift: Floats
    height: int
    width: int
    pool: Window | None
    shuffle_groups: int
    convolution: Convolution


@dataclass(frozen=True)
class Head:
    """scale * x + shift, ReLU, mean over all positions, dense layer.

    scale and shift [c], weight [classes, c], bias [classes]; `int8`: of the dense layer.
    """

    scale: Floats
    shift: Floats
    weight: Weights
    bias: Floats
    height: int
    width: int
    int8: Int8 | None = None


@dataclass(frozen=True)
class PartInfo:
    """A prepared layer group: shapes [channels, height, width]; [classes, 1, 1] after the head."""

    kind: str
    implementation: str
    input: tuple[int, int, int]
    output: tuple[int, int, int]
    workspace_bytes: int
