"""Operations of a plan: float and binary multiply-adds of each step, shapes of binary layers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from runtime.kernels.bitpack import GROWTH, TAPS
from runtime.plan import HeadStep, StageStep, StemStep, Step, TransitionStep


@dataclass(frozen=True)
class BinaryShape:
    """A binary 3x3 layer of 64 outputs that reads `channels` maps of height x width."""

    channels: int
    height: int
    width: int

    @property
    def macs(self) -> int:
        """Binary multiply-adds for one image."""
        return GROWTH * TAPS * self.channels * self.height * self.width

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.channels}"


@dataclass(frozen=True)
class Macs:
    """Multiply-adds for one image."""

    floats: int
    binary: int
    int8: int = 0


def stage_layers(step: StageStep) -> list[BinaryShape]:
    """The layers of a stage, in the order of execution."""
    _, height, width = step.input
    return [BinaryShape(channels, height, width) for channels in step.channels]


def plan_layers(plan: Iterable[Step]) -> list[BinaryShape]:
    """All binary layers of a plan, in the order of execution."""
    stages = (step for step in plan if isinstance(step, StageStep))
    return [layer for step in stages for layer in stage_layers(step)]


def count_macs(step: Step) -> Macs:
    """Multiply-adds of one step for one image; additions, scales and pools are not counted."""
    match step:
        case StageStep():
            return Macs(0, sum(layer.macs for layer in stage_layers(step)))
        case StemStep():
            return _stem_macs(step)
        case TransitionStep():
            macs = step.input[0] // step.groups * prod(step.output)
        case HeadStep():
            macs = step.input[0] * step.classes
    return Macs(0, 0, macs) if step.is_int8 else Macs(macs, 0)


def _stem_macs(step: StemStep) -> Macs:
    totals = {False: 0, True: 0}
    for conv, (_, height, width) in zip(step.convolutions, step.maps, strict=True):
        totals[conv.is_int8] += prod(conv.weight_shape) * height * width
    return Macs(totals[False], 0, totals[True])
