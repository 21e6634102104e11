"""The base of all kinds of steps, and the float layers in them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Self

import numpy as np

from runtime.plan.fields import Fields, Shape, check_shape, invalid

TensorTypes = dict[str, tuple[np.dtype[Any], Shape]]  # name -> (dtype, shape)

ARITHMETICS = ("float32", "int8")  # of float layers; the first one is meant if none is named
MAX_INT8_TAPS = 2**16  # weights of one output of an 8-bit layer that the kernel library takes

FLOAT32, INT8, UINT32 = np.dtype(np.float32), np.dtype(np.int8), np.dtype(np.uint32)


@dataclass(frozen=True, kw_only=True)
class FloatLayer:
    """A layer that computes in float32, or in 8 bits where it says so."""

    arithmetic: str | None = None  # one of ARITHMETICS; None: the first one, unnamed in the JSON

    @property
    def is_int8(self) -> bool:
        return self.arithmetic == "int8"

    def arithmetic_json(self) -> dict[str, Any]:
        return {} if self.arithmetic is None else {"arithmetic": self.arithmetic}

    def weight_tensors(self, prefix: str, shape: Shape, where: str) -> TensorTypes:
        """The tensors of the layer's weight, in its arithmetic. Raises InvalidManifest."""
        if not self.is_int8:
            return {f"{prefix}weight": (FLOAT32, shape)}
        if prod(shape[1:]) > MAX_INT8_TAPS:
            raise invalid(
                where,
                f"expected at most {MAX_INT8_TAPS} 8-bit weights an output, found {shape[1:]}",
            )
        return {
            f"{prefix}weight": (INT8, shape),
            f"{prefix}sum_scale": (FLOAT32, shape[:1]),
            f"{prefix}inverse_step": (FLOAT32, (1,)),
        }


@dataclass(frozen=True)
class BaseStep:
    """The base of all kinds of steps. Raises InvalidManifest for values that do not fit."""

    part: ClassVar[str]  # what the JSON calls the kind
    keys: ClassVar[tuple[str, ...]]  # of its own, in the JSON
    optional: ClassVar[tuple[str, ...]] = ()
    dimensions: ClassVar[int] = 3  # of the output

    name: str
    input: Shape  # [channels, height, width]

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise invalid("", f"expected a name as `name`, found {self.name!r:.80}")
        check_shape(self.input, 3, "input", self.name)
        self._check()
        check_shape(self.output, self.dimensions, "output", self.name)
        self.tensors()

    @property
    def output(self) -> Shape:
        """The shape of the step's output for its input."""
        raise NotImplementedError

    def tensors(self) -> TensorTypes:
        """Name -> (dtype, shape) of every tensor that the step needs."""
        return {f"{self.name}.{suffix}": kind for suffix, kind in self._tensors().items()}

    def as_json(self) -> dict[str, Any]:
        """The JSON object of the step, which parse_plan reads back."""
        head = {"name": self.name, "part": self.part}
        return head | {"input": list(self.input), "output": list(self.output)} | self._json()

    @classmethod
    def parse(cls, name: str, input: Shape, output: Shape, fields: Fields) -> Self:
        """The step that a JSON object describes; of `output` it takes what follows from nothing
        else. Raises InvalidManifest.
        """
        raise NotImplementedError

    def _check(self) -> None:
        raise NotImplementedError

    def _tensors(self) -> TensorTypes:
        raise NotImplementedError

    def _json(self) -> dict[str, Any]:
        raise NotImplementedError
