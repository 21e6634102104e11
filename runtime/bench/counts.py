"""Operations of a plan: float and binary multiply-adds of each step, shapes of binary layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from runtime.library import GROWTH

TAPS = 9  # of a binary layer's window


@dataclass(frozen=True)
class BinaryShape:
    """A binary 3x3 layer of 64 outputs that reads `channels` maps of height x width."""

    channels: int
    height: int
    width: int

    @property
    def macs(self) -> int:
        """Binary multiply-adds for one picture."""
        return GROWTH * TAPS * self.channels * self.height * self.width

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.channels}"


@dataclass(frozen=True)
class Macs:
    """Multiply-adds for one picture."""

    floats: int
    binary: int
    int8: int = 0


def stage_layers(step: Mapping[str, Any]) -> list[BinaryShape]:
    """The layers of a stage, in the order of execution."""
    channels, height, width = step["input"]
    layers = []
    for kind in step["layers"]:
        layers.append(BinaryShape(channels, height, width))
        channels += GROWTH if kind == "dense" else 0
    return layers


def plan_layers(plan: Sequence[Mapping[str, Any]]) -> list[BinaryShape]:
    """All binary layers of a plan, in the order of execution."""
    stages = (step for step in plan if step["part"] == "stage")
    return [layer for step in stages for layer in stage_layers(step)]


def count_macs(step: Mapping[str, Any]) -> Macs:
    """Multiply-adds of one step for one picture; additions, scales and pools are not counted."""
    if step["part"] == "stage":
        return Macs(0, sum(layer.macs for layer in stage_layers(step)))
    if step["part"] == "stem":
        return _stem_macs(step)
    if step["part"] == "transition":
        channels_out, height, width = step["output"]
        macs = channels_out * (step["input"][0] // step["groups"]) * height * width
    else:
        macs = step["input"][0] * prod(step["output"])  # head
    return Macs(0, 0, macs) if _is_int8(step) else Macs(macs, 0)


def _is_int8(layer: Mapping[str, Any]) -> bool:
    return layer.get("arithmetic") == "int8"


def _stem_macs(step: Mapping[str, Any]) -> Macs:
    _, height, width = step["input"]
    totals = {False: 0, True: 0}
    for conv in step["convolutions"]:
        spare = sum(conv["padding"]) - conv["kernel"]
        height, width = ((side + spare) // conv["stride"] + 1 for side in (height, width))
        taps = conv["channels_in"] // conv["groups"] * conv["kernel"] ** 2
        totals[_is_int8(conv)] += conv["channels_out"] * taps * height * width
    return Macs(totals[False], 0, totals[True])
