"""Small networks of every kind that the format has, drawn at random, and tensors that fit them.

Weights are small integers and scales are powers of two, so that nearly all sums are exact in
whatever order an engine makes them; what an engine gets wrong then shows as a difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.kernels.parts import Window
from runtime.plan import (
    HeadStep,
    Plan,
    Shape,
    StageStep,
    StemConvolution,
    StemStep,
    Step,
    TransitionStep,
)

Tensors = dict[str, NDArray[Any]]

# Names that a graph may already use for something else are among them.
NAMES = (
    *("stem", "stage1", "transition1", "head", "trunk", "x1", "é", "images", "logits", "torch"),
    *("forward", "output", "training", "float", "class", "None", "parts", "constant_1", "_", "def"),
)
ARITHMETICS: Sequence[str | None] = (None, "float32", "int8")
CHANNELS = (4, 32, 48, 64)


@st.composite
def windows(draw: st.DrawFn, height: int, width: int) -> Window:
    """One that fits a map."""
    kernel = draw(st.integers(1, 4))
    before, after = (draw(st.integers(0, kernel - 1)) for _ in range(2))
    side = min(height, width)
    if side + before + after < kernel:
        kernel, before, after = 1, 0, 0
    return Window(kernel, draw(st.integers(1, 3)), before, after)


def divisors(*values: int) -> list[int]:
    common = math.gcd(*values)
    return [number for number in range(1, common + 1) if common % number == 0]


@st.composite
def stems(draw: st.DrawFn, name: str, shape: Shape) -> StemStep:
    convolutions: list[StemConvolution] = []
    channels, height, width = shape
    for i in range(draw(st.integers(1, 3))):
        outputs = draw(st.sampled_from(CHANNELS))
        conv = StemConvolution(
            *(channels, outputs, draw(windows(height, width))),
            draw(st.sampled_from(divisors(channels, outputs))),
            draw(st.booleans()),
            arithmetic=draw(st.sampled_from(ARITHMETICS[: 2 if i == 0 else 3])),
        )
        convolutions.append(conv)
        channels, height, width = StemStep(name, shape, tuple(convolutions)).output
    return StemStep(name, shape, tuple(convolutions), draw(st.none() | windows(height, width)))


@st.composite
def stages(draw: st.DrawFn, name: str, shape: Shape) -> StageStep:
    others = draw(st.lists(st.sampled_from(["dense", "improvement"]), max_size=3))
    return StageStep(name, shape, draw(st.sampled_from([-1, 0, 1])), ("dense", *others))


@st.composite
def transitions(draw: st.DrawFn, name: str, shape: Shape) -> TransitionStep:
    channels, height, width = shape
    outputs = draw(st.sampled_from(CHANNELS))
    return TransitionStep(
        *(name, shape, outputs, draw(st.none() | windows(height, width))),
        draw(st.sampled_from(divisors(channels))),
        draw(st.sampled_from(divisors(channels, outputs))),
        arithmetic=draw(st.sampled_from(ARITHMETICS)),
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """From a square image to some classes, by up to four steps before the head."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=5, max_size=5, unique=True))
    side = draw(st.integers(2, 9))
    shape: Shape = (3, side, side)
    steps: list[Step] = []
    for name in names[: draw(st.integers(0, 4))]:
        kinds = [stems, transitions] if shape[0] % 32 else [stages, stages, transitions, stems]
        steps.append(draw(draw(st.sampled_from(kinds))(name, shape)))
        shape = steps[-1].output
    classes, arithmetic = draw(st.integers(1, 5)), draw(st.sampled_from(ARITHMETICS))
    return Plan((*steps, HeadStep(names[4], shape, classes, arithmetic=arithmetic)))


def make_tensors(plan: Plan, seed: int) -> Tensors:
    """Tensors that a plan needs."""
    random = np.random.default_rng(seed)
    return {
        name: _make_tensor(name.rpartition(".")[2], dtype, shape, random)
        for name, (dtype, shape) in plan.tensors().items()
    }


def _make_tensor(
    kind: str, dtype: np.dtype[Any], shape: Shape, random: np.random.Generator
) -> NDArray[Any]:
    if dtype == np.uint32:
        return random.integers(0, 2**32, shape, dtype=np.uint32)
    if dtype == np.int8:
        return random.integers(-127, 128, shape, dtype=np.int8)
    if kind == "threshold":  # ties with sums, and constant channels
        values = np.rint(random.standard_normal(shape) * 8) * 2
        values[0], values[-1] = random.choice([-np.inf, 0, np.inf], 2)
    elif kind in ("scale", "sum_scale", "inverse_step"):
        values = 2.0 ** random.integers(-5, -1, shape)
        values *= random.choice([-1, 1], shape) if kind == "scale" else 1
    else:  # weight, bias, shift
        values = random.integers(-2, 3, shape)
    return values.astype(np.float32)


@st.composite
def networks(draw: st.DrawFn) -> tuple[Plan, Tensors]:
    plan = draw(plans())
    return plan, make_tensors(plan, draw(st.integers(0, 1000)))


def make_images(plan: Plan, seed: int = 1) -> NDArray[np.float32]:
    """Two images of small integers, float32 [2, 3, H, W]."""
    shape = (2, *plan.input)
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)
