"""The kinds of steps that a plan has: what each holds, its output, its tensors, its JSON.

This is all that the format knows of a kind: another one is a class here, and a name in Step. What
runs steps (the kernels, the graphs, the full-precision reference) chooses by the class, and mypy
finds whatever does not know all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any, Literal, Self, get_args

from runtime.kernels.bitpack import GROWTH, KERNEL, TAPS, WORD_BITS
from runtime.kernels.parts import Window
from runtime.plan.fields import (
    MAX_CHANNELS,
    MAX_SIZE,
    Fields,
    Shape,
    check_groups,
    check_range,
    describe_window,
    invalid,
    slide,
)
from runtime.plan.step import ARITHMETICS, FLOAT32, UINT32, BaseStep, FloatLayer, TensorTypes

LAYERS = ("dense", "improvement")
BinaryKind = Literal["dense", "improvement"]

# What the kernel library takes, as in runtime.plan.fields.
MAX_CONVOLUTIONS = 8
MAX_LAYERS = 1024
MAX_COUNT = 2**16 - 1  # mismatches of one output of a stage

_CONVOLUTION = (
    *("channels_in", "channels_out", "kernel", "stride", "padding"),
    *("groups", "relu"),
)


# ---- stem ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StemConvolution(FloatLayer):
    """One convolution of a stem, with folded batch norm, and a ReLU if it says so."""

    channels_in: int
    channels_out: int
    window: Window
    groups: int
    relu: bool

    @property
    def weight_shape(self) -> Shape:
        """[out, in / groups, k, k]."""
        kernel = self.window.kernel
        return self.channels_out, self.channels_in // self.groups, kernel, kernel

    def as_json(self) -> dict[str, Any]:
        channels = {"channels_in": self.channels_in, "channels_out": self.channels_out}
        rest = {"groups": self.groups, "relu": self.relu}
        return channels | describe_window(self.window) | rest | self.arithmetic_json()

    @classmethod
    def parse(cls, fields: Fields) -> Self:
        """Raises InvalidManifest."""
        channels = fields.whole("channels_in"), fields.whole("channels_out")
        fields.refuse_others(_CONVOLUTION, ("arithmetic",))
        return cls(
            *(*channels, fields.window(), fields.whole("groups"), fields.flag("relu")),
            arithmetic=fields.choice("arithmetic", ARITHMETICS),
        )

    def tensors(self, prefix: str, where: str) -> TensorTypes:
        """Suffix -> (dtype, shape). Raises InvalidManifest."""
        weights = self.weight_tensors(prefix, self.weight_shape, where)
        return weights | {f"{prefix}bias": (FLOAT32, (self.channels_out,))}


@dataclass(frozen=True)
class StemStep(BaseStep):
    """Convolutions of the image, then a max pool if there is one."""

    part = "stem"
    keys = ("convolutions", "pool")

    convolutions: tuple[StemConvolution, ...]
    pool: Window | None = None

    @property
    def maps(self) -> list[Shape]:
        """The shape that each convolution yields, [channels, height, width]."""
        _, height, width = self.input
        maps: list[Shape] = []
        for i, conv in enumerate(self.convolutions):
            height, width = slide(conv.window, height, width, self._where(i))
            maps.append((conv.channels_out, height, width))
        return maps

    @property
    def output(self) -> Shape:
        return _pooled(self.pool, self.maps[-1], self.name)

    def _where(self, number: int) -> str:
        return f"{self.name}: convolution {number}"

    def _check(self) -> None:
        check_range(len(self.convolutions), 1, MAX_CONVOLUTIONS, "convolutions", self.name)
        channels = self.input[0]
        for i, conv in enumerate(self.convolutions):
            where = self._where(i)
            if conv.channels_in != channels:
                raise invalid(
                    where, f"expected {channels} as `channels_in`, found {conv.channels_in!r:.80}"
                )
            channels = conv.channels_out
            check_range(channels, 1, MAX_CHANNELS, "channels_out", where)
            check_groups(conv.groups, conv.channels_in, "groups", where)
            check_groups(conv.groups, channels, "groups", where)
            if i == 0 and conv.is_int8:
                raise invalid(where, "expected float32, as its input has a sign, found int8")
        for i, shape in enumerate(self.maps):
            if prod(shape) > MAX_SIZE:
                raise invalid(self._where(i), f"expected at most {MAX_SIZE} values, found {shape}")

    def _tensors(self) -> TensorTypes:
        needs: TensorTypes = {}
        for i, conv in enumerate(self.convolutions):
            needs |= conv.tensors(f"conv{i}.", self._where(i))
        return needs

    def _json(self) -> dict[str, Any]:
        convolutions = [conv.as_json() for conv in self.convolutions]
        return {"convolutions": convolutions, "pool": _pool_json(self.pool)}

    @classmethod
    def parse(cls, name: str, input: Shape, output: Shape, fields: Fields) -> Self:
        convolutions = tuple(
            StemConvolution.parse(Fields(item, f"{name}: convolution {i}"))
            for i, item in enumerate(fields.items("convolutions"))
        )
        return cls(name, input, convolutions, fields.pool())


# ---- stage ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StageStep(BaseStep):
    """Binary 3x3 layers: dense ones append GROWTH channels, improvements add to the last ones."""

    part = "stage"
    keys = ("growth", "padding", "layers")

    padding: int  # the value -1, 0 or 1 around a map
    layers: tuple[BinaryKind, ...]

    @property
    def channels(self) -> list[int]:
        """The number of channels that each layer reads."""
        dense = accumulate((kind == "dense" for kind in self.layers[:-1]), initial=0)
        return [self.input[0] + GROWTH * count for count in dense]

    @property
    def output(self) -> Shape:
        channels, height, width = self.input
        return channels + GROWTH * self.layers.count("dense"), height, width

    def _check(self) -> None:
        if self.input[0] % WORD_BITS:
            raise invalid(
                self.name,
                f"expected channels in whole words of {WORD_BITS}, found {self.input[0]} channels",
            )
        if self.padding not in (-1, 0, 1):
            raise invalid(
                self.name, f"expected -1, 0 or 1 as `padding`, found {self.padding!r:.80}"
            )
        check_range(len(self.layers), 1, MAX_LAYERS, "layers", self.name)
        if self.layers[0] != "dense":
            raise invalid(self.name, "expected a dense layer first, found none to improve")
        total = 0  # mismatches that one of the newest channels may have
        for kind, channels in zip(self.layers, self.channels, strict=True):
            total = TAPS * channels + (total if kind == "improvement" else 0)
            if total > MAX_COUNT:
                raise invalid(
                    self.name,
                    f"expected at most {MAX_COUNT} binary weights in a sum of layers, "
                    f"found {total}",
                )

    def _tensors(self) -> TensorTypes:
        needs: TensorTypes = {}
        for i, channels in enumerate(self.channels):
            words = channels // WORD_BITS
            needs[f"layer{i}.weight"] = (UINT32, (GROWTH, KERNEL, KERNEL, words))
            needs[f"layer{i}.threshold"] = (FLOAT32, (channels,))
            needs[f"layer{i}.flip"] = (UINT32, (words,))
        return needs

    def _json(self) -> dict[str, Any]:
        return {"growth": GROWTH, "padding": self.padding, "layers": list(self.layers)}

    @classmethod
    def parse(cls, name: str, input: Shape, output: Shape, fields: Fields) -> Self:
        growth = fields.whole("growth")
        if growth != GROWTH:
            raise fields.invalid(f"expected growth {GROWTH}, found {growth!r:.80}")
        padding, layers = fields.whole("padding"), fields.items("layers")
        for i, kind in enumerate(layers):
            if kind not in LAYERS:
                raise fields.invalid(
                    f"expected {' or '.join(LAYERS)} as layer {i}, found {kind!r:.80}"
                )
        return cls(name, input, padding, tuple(layers))


# ---- transition ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class TransitionStep(FloatLayer, BaseStep):
    """scale * x + shift, a max pool if there is one, ReLU, channel shuffle, 1x1 convolution."""

    part = "transition"
    keys = ("pool", "shuffle_groups", "groups")
    optional = ("arithmetic",)

    channels_out: int
    pool: Window | None = None
    shuffle_groups: int = 1
    groups: int = 1

    @property
    def output(self) -> Shape:
        return self.channels_out, *_pooled(self.pool, self.input, self.name)[1:]

    def _check(self) -> None:
        channels = self.input[0]
        check_groups(self.groups, channels, "groups", self.name)
        check_groups(self.groups, self.channels_out, "groups", self.name)
        check_groups(self.shuffle_groups, channels, "shuffle_groups", self.name)

    def _tensors(self) -> TensorTypes:
        shape = self.channels_out, self.input[0] // self.groups, 1, 1
        return _affine(self.input[0]) | self.weight_tensors("", shape, self.name)

    def _json(self) -> dict[str, Any]:
        groups = {"shuffle_groups": self.shuffle_groups, "groups": self.groups}
        return {"pool": _pool_json(self.pool)} | groups | self.arithmetic_json()

    @classmethod
    def parse(cls, name: str, input: Shape, output: Shape, fields: Fields) -> Self:
        return cls(
            *(name, input, output[0], fields.pool()),
            *(fields.whole("shuffle_groups"), fields.whole("groups")),
            arithmetic=fields.choice("arithmetic", ARITHMETICS),
        )


# ---- head ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HeadStep(FloatLayer, BaseStep):
    """scale * x + shift, ReLU, mean over all positions, dense layer."""

    part = "head"
    keys = ()
    optional = ("arithmetic",)
    dimensions = 1

    classes: int

    @property
    def output(self) -> Shape:
        return (self.classes,)

    def _check(self) -> None:
        pass  # the shapes say it all

    def _tensors(self) -> TensorTypes:
        weights = self.weight_tensors("", (self.classes, self.input[0]), self.name)
        return _affine(self.input[0]) | {"bias": (FLOAT32, (self.classes,))} | weights

    def _json(self) -> dict[str, Any]:
        return self.arithmetic_json()

    @classmethod
    def parse(cls, name: str, input: Shape, output: Shape, fields: Fields) -> Self:
        return cls(name, input, *output, arithmetic=fields.choice("arithmetic", ARITHMETICS))


Step = StemStep | StageStep | TransitionStep | HeadStep
KINDS: dict[str, type[Step]] = {kind.part: kind for kind in get_args(Step)}


def _affine(channels: int) -> TensorTypes:
    return {"scale": (FLOAT32, (channels,)), "shift": (FLOAT32, (channels,))}


def _pooled(pool: Window | None, shape: Shape, name: str) -> Shape:
    """The shape of a map after a pool, or without one."""
    channels, height, width = shape
    return shape if pool is None else (channels, *slide(pool, height, width, f"{name}: pool"))


def _pool_json(pool: Window | None) -> dict[str, Any] | None:
    return None if pool is None else describe_window(pool)
