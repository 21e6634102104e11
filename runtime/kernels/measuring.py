"""Wraps the measuring calls of the kernel library: instruction limits, single binary layers.

All calls take the active implementation and release the interpreter lock.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.kernels import library
from runtime.kernels.arrays import allocate, require
from runtime.kernels.bitpack import GROWTH, KERNEL
from runtime.kernels.parts import Words

Nanoseconds = NDArray[np.float64]
FLOAT_MAC, INT8_MAC, BINARY_MAC = "float MAC", "8-bit MAC", "binary MAC"
FULL_ADDER = "full adder"


@dataclass(frozen=True)
class Limit:
    """A loop that uses only registers: its instructions, what they compute, how often per round."""

    name: str
    operation: str  # FLOAT_MAC, INT8_MAC, BINARY_MAC, or FULL_ADDER of one bit
    operations: int


@dataclass(frozen=True)
class LayerTiming:
    """Nanoseconds [runs] of one binary layer in one kernel family.

    counting: the convolution alone, from the layer's bits to counts. complete: with its steps in a
    stage, as many comparisons as the layer has channels, the border, the spreading of planes.
    full_adders: one-bit additions in the lists of the bit-sliced family, else 0.
    """

    counting: Nanoseconds
    complete: Nanoseconds
    full_adders: int


class _Limit(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_char_p) for name in ("name", "operation")),
        ("operations", ctypes.c_int64),
    )


class _LayerTiming(ctypes.Structure):
    _fields_ = (
        ("family", ctypes.c_char_p),
        *((name, ctypes.c_void_p) for name in ("counting", "complete")),
        ("full_adders", ctypes.c_int64),
    )


@functools.cache
def _functions() -> ctypes.CDLL:
    """The library, its measuring calls declared. Raises NativeUnavailable."""
    functions = library.load_library()
    pointer, i32 = ctypes.c_void_p, ctypes.c_int32
    functions.bnn_limits.argtypes = [
        ctypes.POINTER(ctypes.POINTER(_Limit)),
        ctypes.POINTER(i32),
    ]
    functions.bnn_measure_limit.argtypes = [i32, ctypes.c_int64, i32, pointer]
    functions.bnn_measure_layer.argtypes = [
        *(pointer, i32, i32, i32, ctypes.POINTER(_LayerTiming), i32, i32, pointer),
        ctypes.POINTER(ctypes.c_size_t),
    ]
    return functions


def limits() -> tuple[Limit, ...]:
    """The register-only loops of the active implementation. Raises NativeUnavailable."""
    entries = ctypes.POINTER(_Limit)()
    count = ctypes.c_int32()
    library.check(_functions().bnn_limits(ctypes.byref(entries), ctypes.byref(count)))
    return tuple(
        Limit(entry.name.decode(), entry.operation.decode(), entry.operations)
        for entry in (entries[i] for i in range(count.value))
    )


def measure_limit(index: int, rounds: int, runs: int = 1) -> Nanoseconds:
    """Nanoseconds [runs] of `rounds` rounds of limits()[index]. Raises ValueError."""
    nanoseconds = np.empty(max(runs, 0))
    library.check(_functions().bnn_measure_limit(index, rounds, runs, nanoseconds.ctypes.data))
    return nanoseconds


def measure_layer(
    weight: Words, height: int, width: int, families: Sequence[str], runs: int
) -> dict[str, LayerTiming]:
    """Times one binary layer on random bits in each kernel family, in turns.

    weight [64, 3, 3, c / 32]; families: "popcount", "sliced". Raises ValueError, and
    ImplementationUnavailable if a family does not take the layer.
    """
    address = require("weight", weight, np.uint32, (GROWTH, KERNEL, KERNEL, None))
    samples = np.empty((len(families), 2, max(runs, 0)))
    timings = (_LayerTiming * len(families))(
        *(
            _LayerTiming(name.encode(), counting.ctypes.data, complete.ctypes.data, 0)
            for name, (counting, complete) in zip(families, samples, strict=True)
        )
    )
    size = ctypes.c_size_t()

    def call(workspace: int | None) -> None:
        library.check(
            _functions().bnn_measure_layer(
                address, 32 * weight.shape[3], height, width, timings, len(families), runs,
                workspace, ctypes.byref(size),
            )
        )  # fmt: skip

    call(None)
    workspace = allocate(size.value)  # named: it must live through the call
    call(workspace.ctypes.data)
    return {
        name: LayerTiming(counting, complete, timing.full_adders)
        for name, (counting, complete), timing in zip(families, samples, timings, strict=True)
    }
