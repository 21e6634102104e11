"""Reads quantised .tflite files: bytes -> checked layers in execution order.

The package `tflite`, the schema's generated classes, finds the fields. It follows whatever offset a
file gives, so every index, shape, size and number is checked here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import tflite
from numpy.typing import NDArray
from tflite.utils import BUILTIN_OPCODE2NAME

from models.tflite.network import (
    AveragePool,
    Convolution,
    FeatureMap,
    InvalidTflite,
    Layer,
    Part,
    Quantization,
    TfliteError,
    UnsupportedTflite,
)

IDENTIFIER = b"TFL3"  # at byte 4
MAX_BYTES = 2**28  # MobileNet-v1 1.0 has 4 MB
MAX_OPERATORS = 1000
BIAS_TOLERANCE = 1e-4  # of bias scale = input scale * weight scale, which are rounded to float32
COPY_AGAIN = "Copy the file again."
OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "RESHAPE", "SQUEEZE", "SOFTMAX")
WHAT_IS_READ = (
    f"Only uint8 chains of {', '.join(OPERATORS)} are imported, as Google's quantised MobileNet-v1 "
    "is."
)
_TYPES = {value: name for name, value in vars(tflite.TensorType).items() if name.isupper()}
_ACTIVATIONS = {
    value: name for name, value in vars(tflite.ActivationFunctionType).items() if name.isupper()
}


def read_tflite(path: Path) -> Part:
    """The layers of a file. Raises InvalidTflite, UnsupportedTflite, OSError."""
    if (size := path.stat().st_size) > MAX_BYTES:
        raise UnsupportedTflite(
            f"{path}: expected at most {MAX_BYTES} bytes, found {size}. {WHAT_IS_READ}"
        )
    data = path.read_bytes()
    if data[4:8] != IDENTIFIER:
        raise InvalidTflite(
            f"{path}: expected a .tflite file, which has {IDENTIFIER.decode()} at byte 4; found "
            f"{data[4:8]!r} in {size} bytes. Give a file of TensorFlow Lite."
        )
    with _damage_refused(path):
        layers = tuple(_File(path, data).read_layers())
    if not layers:
        raise UnsupportedTflite(f"{path}: expected a convolution, found none. {WHAT_IS_READ}")
    return Part(path.name, layers)


@contextmanager
def _damage_refused(path: Path) -> Iterator[None]:
    try:
        yield
    except (TfliteError, MemoryError):
        raise
    # Wrong offsets and lengths surface as struct.error, TypeError, ValueError, AttributeError, ...
    except Exception as fault:
        raise InvalidTflite(
            f"{path}: expected a complete .tflite file, found a damaged one "
            f"({type(fault).__name__}: {fault}). {COPY_AGAIN}"
        ) from fault


class _File:
    """The flatbuffer of one file; methods raise TfliteError, or anything where it is damaged."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.model = tflite.Model.GetRootAs(data, 0)
        if (count := self.model.SubgraphsLength()) != 1:
            self._unsupported("one subgraph", count)
        self.graph = self.model.Subgraphs(0)

    def read_layers(self) -> Iterator[Layer]:
        """Layers in execution order, each checked against its neighbours."""
        graph = self.graph
        if (found := (graph.InputsLength(), graph.OutputsLength())) != (1, 1):
            self._unsupported("one input and one output", f"{found[0]} and {found[1]}")
        current, result = graph.Inputs(0), graph.Outputs(0)
        if not 1 <= (count := graph.OperatorsLength()) <= MAX_OPERATORS:
            self._unsupported(f"1 to {MAX_OPERATORS} operators", count)
        for i in range(count):
            operator = graph.Operators(i)
            name = self._operator_name(operator.OpcodeIndex())
            where = f"operator {i}, {name}"
            if name not in OPERATORS:
                self._unsupported("operators that can be imported", where)
            source, *constants = operator.InputsAsNumpy()
            (target,) = operator.OutputsAsNumpy()
            if source != current:
                self._unsupported(f"{where} to read what the one before it wrote", "a branch")
            current = target
            if name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
                yield self._convolution(where, operator, source, target, constants)
            elif name == "AVERAGE_POOL_2D":
                yield self._average_pool(where, operator, source, target)
            elif name != "SOFTMAX":
                self._check_flattening(where, source, target)
            else:
                self._check_softmax(where, operator, last=i == count - 1)
        if current != result:
            self._unsupported("the last operator to write the output", "another one")

    def _convolution(
        self, where: str, operator: Any, source: int, target: int, constants: Sequence[int]
    ) -> Convolution:
        depthwise = where.endswith("DEPTHWISE_CONV_2D")
        kind = tflite.DepthwiseConv2DOptions if depthwise else tflite.Conv2DOptions
        options = _options(operator, kind)
        if (options.DilationHFactor(), options.DilationWFactor()) != (1, 1):
            self._unsupported(f"{where} without dilation", "a dilated one")
        none, relu6 = tflite.ActivationFunctionType.NONE, tflite.ActivationFunctionType.RELU6
        if (activation := options.FusedActivationFunction()) not in (none, relu6):
            found = _ACTIVATIONS.get(activation, activation)
            self._unsupported(f"{where} with activation NONE or RELU6", found)
        before, after = self._feature_map(where, source), self._feature_map(where, target)
        weight_index, bias_index = constants
        weight = self._constant(where, weight_index, tflite.TensorType.UINT8, np.dtype("u1"))
        # Depthwise weights lie as 1, height, width, out; the others as out, height, width, in.
        weight = weight.transpose(3, 0, 1, 2) if depthwise else weight.transpose(0, 3, 1, 2)
        bias = self._constant(where, bias_index, tflite.TensorType.INT32, np.dtype("<i4"))
        groups = before.shape[2] if depthwise else 1
        channels_in, channels_out = before.shape[2], after.shape[2]
        if (
            weight.shape[:2] != (channels_out, channels_in // groups)
            or 0 in weight.shape
            or channels_out % groups
            or bias.shape != (channels_out,)
        ):
            self._invalid(
                f"{where}: expected weights and biases for {before} to {after}",
                f"{list(weight.shape)} and {list(bias.shape)}",
            )
        weight_quantization = self._quantization(where, self._tensor(weight_index))
        bias_quantization = self._quantization(where, self._tensor(bias_index))
        self._check_bias(where, bias_quantization, before.quantization, weight_quantization)
        strides, padding = self._window(where, options, weight.shape[2:], before, after)
        return Convolution(
            input=before,
            output=after,
            weight=np.ascontiguousarray(weight),
            weight_quantization=weight_quantization,
            bias=bias.astype(np.int32),
            bias_scale=bias_quantization.scale,
            strides=strides,
            padding=padding,
            groups=groups,
            relu6=activation == relu6,
        )

    def _check_bias(
        self, where: str, bias: Quantization, before: Quantization, weight: Quantization
    ) -> None:
        """Biases are added to sums of products, so they must have the products' scale."""
        product = before.scale * weight.scale
        if bias.zero_point or not math.isclose(bias.scale, product, rel_tol=BIAS_TOLERANCE):
            self._invalid(
                f"{where}: expected biases of scale {product:.9g}, zero point 0",
                f"{bias.scale:.9g}, {bias.zero_point}",
            )

    def _window(
        self, where: str, options: Any, kernel: Sequence[int], before: FeatureMap, after: FeatureMap
    ) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
        """(strides, padding); SAME puts the odd pixel at the bottom and at the right."""
        strides = (options.StrideH(), options.StrideW())
        if min(strides) < 1:
            self._invalid(f"{where}: expected strides of at least 1", strides)
        pads, sides = [], []
        for size, taps, stride in zip(before.shape[:2], kernel, strides, strict=True):
            if options.Padding() == tflite.Padding.SAME:
                sides.append(-(-size // stride))
                total = max((sides[-1] - 1) * stride + taps - size, 0)
            else:
                sides.append((size - taps) // stride + 1)
                total = 0
            pads.append((total // 2, total - total // 2))
        if tuple(sides) != after.shape[:2]:
            self._invalid(f"{where}: expected a map of {sides}", list(after.shape[:2]))
        (top, bottom), (left, right) = pads
        return strides, (top, left, bottom, right)

    def _average_pool(self, where: str, operator: Any, source: int, target: int) -> AveragePool:
        options = _options(operator, tflite.Pool2DOptions)
        before, after = self._feature_map(where, source), self._feature_map(where, target)
        window = options.FilterHeight(), options.FilterWidth()
        if window != before.shape[:2] or after.shape != (1, 1, before.shape[2]):
            self._unsupported(f"{where} over all of {before}", f"{window} to {after}")
        if after.quantization != before.quantization:
            self._invalid(f"{where}: expected one quantisation", f"{before} and {after}")
        if options.FusedActivationFunction() != tflite.ActivationFunctionType.NONE:
            self._unsupported(f"{where} without activation", "one")
        return AveragePool(before, after)

    def _check_flattening(self, where: str, source: int, target: int) -> None:
        before, after = self._feature_map(where, source), self._tensor(target)
        shape = _shape(after)
        channels = before.shape[2]
        if before.shape[:2] != (1, 1) or shape[-1] != channels or math.prod(shape) != channels:
            self._unsupported(f"{where} of one pixel's channels", f"{before} to {list(shape)}")
        if self._quantization(where, after) != before.quantization:
            self._invalid(f"{where}: expected one quantisation", "two")

    def _check_softmax(self, where: str, operator: Any, last: bool) -> None:
        beta = _options(operator, tflite.SoftmaxOptions).Beta()
        if not last or beta != 1:
            self._unsupported(f"{where} of beta 1 at the end", f"beta {beta:.9g}, last: {last}")

    def _operator_name(self, index: int) -> str:
        code = _item(self.model.OperatorCodes, self.model.OperatorCodesLength(), index)
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # old files have the latter
        return str(BUILTIN_OPCODE2NAME.get(number, f"number {number}"))

    def _tensor(self, index: int) -> Any:
        return _item(self.graph.Tensors, self.graph.TensorsLength(), index)

    def _feature_map(self, where: str, index: int) -> FeatureMap:
        tensor = self._tensor(index)
        self._check_type(where, tensor, tflite.TensorType.UINT8)
        shape = _shape(tensor)
        if len(shape) != 4 or shape[0] != 1 or min(shape) < 1:
            self._unsupported(f"{where} on maps [1, height, width, channels]", list(shape))
        return FeatureMap(shape[1:], self._quantization(where, tensor))

    def _constant(self, where: str, index: int, kind: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        tensor = self._tensor(index)
        self._check_type(where, tensor, kind)
        shape = _shape(tensor)
        buffer = _item(self.model.Buffers, self.model.BuffersLength(), tensor.Buffer())
        data = buffer.DataAsNumpy()
        if not isinstance(data, np.ndarray) or data.nbytes != math.prod(shape) * dtype.itemsize:
            found = data.nbytes if isinstance(data, np.ndarray) else "none"
            self._invalid(f"{where}: expected {list(shape)} constants of {dtype} in bytes", found)
        return data.view(dtype).reshape(shape)

    def _check_type(self, where: str, tensor: Any, kind: int) -> None:
        if (found := tensor.Type()) != kind:
            self._unsupported(f"{where} on {_TYPES[kind]} tensors", _TYPES.get(found, found))

    def _quantization(self, where: str, tensor: Any) -> Quantization:
        record = tensor.Quantization()
        count = record.ScaleLength() if record else 0
        if count != 1 or record.ZeroPointLength() != 1:
            self._unsupported(f"{where} with one scale and zero point a tensor", f"{count} scales")
        scale, zero_point = float(record.Scale(0)), int(record.ZeroPoint(0))
        if not (math.isfinite(scale) and scale > 0 and 0 <= zero_point <= 255):
            self._invalid(
                f"{where}: expected a scale above 0 and a zero point of 0 to 255",
                f"{scale:.9g} and {zero_point}",
            )
        return Quantization(scale, zero_point)

    def _unsupported(self, expected: str, found: object) -> NoReturn:
        raise UnsupportedTflite(f"{self.path}: expected {expected}; found {found}. {WHAT_IS_READ}")

    def _invalid(self, expected: str, found: object) -> NoReturn:
        raise InvalidTflite(f"{self.path}: {expected}; found {found}. {COPY_AGAIN}")


def _options(operator: Any, kind: Any) -> Any:
    """The operator's options as the generated class `kind`."""
    table, options = operator.BuiltinOptions(), kind()
    options.Init(table.Bytes, table.Pos)
    return options


def _item(get: Callable[[int], Any], count: int, index: int) -> Any:
    """An element of a vector; the generated classes do not check the index."""
    if not 0 <= index < count:
        raise IndexError(f"{index} of {count}")
    return get(index)


def _shape(tensor: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in tensor.ShapeAsNumpy())
