"""Tiny .tflite files that tests write: a quantised network, whole, in two parts or with faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

SIDE, CLASSES = 9, 5
LABELS = ("background", "ant", "bee", "cat", "dog")
_OPTIONS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "RESHAPE": "ReshapeOptions",
    "SOFTMAX": "SoftmaxOptions",
}


@dataclass
class Tensor:
    shape: tuple[int, ...]
    scale: tuple[float, ...] = (0.02,)
    zero_point: tuple[int, ...] = (0,)
    type: str = "UINT8"
    data: bytes | None = None


@dataclass
class Operator:
    name: str
    inputs: list[int]
    output: int
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class TfliteFile:
    """What a file holds; faults are made by changing it."""

    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    subgraphs: int = 1
    inputs: tuple[int, ...] | None = None  # None: what the first operator reads
    outputs: tuple[int, ...] | None = None

    def add(self, *arguments: Any, **fields: Any) -> int:
        """A tensor; returns its index."""
        self.tensors.append(Tensor(*arguments, **fields))
        return len(self.tensors) - 1

    def constant(self, values: NDArray[Any], scale: float, zero_point: int) -> int:
        kind = {"uint8": "UINT8", "int32": "INT32"}[values.dtype.name]
        return self.add(values.shape, (scale,), (zero_point,), kind, values.tobytes())

    def to_bytes(self) -> bytes:
        b = flatbuffers.Builder(0)
        names = sorted({operator.name for operator in self.operators})
        codes = [getattr(tflite.BuiltinOperator, name) for name in names]
        codes = [_table(b, "OperatorCode", DeprecatedBuiltinCode=code) for code in codes]
        buffers = [_table(b, "Buffer")]
        tensors = [self._tensor(b, tensor, buffers) for tensor in self.tensors]
        operators = [self._operator(b, operator, names) for operator in self.operators]
        first, last = self.operators[0].inputs[0], self.operators[-1].output
        subgraph = _table(
            b,
            "SubGraph",
            Tensors=_offsets(b, tensors),
            Inputs=_numbers(b, (first,) if self.inputs is None else self.inputs, "i4"),
            Outputs=_numbers(b, (last,) if self.outputs is None else self.outputs, "i4"),
            Operators=_offsets(b, operators),
        )
        model = _table(
            b,
            "Model",
            Version=3,
            OperatorCodes=_offsets(b, codes),
            Subgraphs=_offsets(b, [subgraph] * self.subgraphs),
            Buffers=_offsets(b, buffers),
        )
        b.Finish(model, b"TFL3")
        return bytes(b.Output())

    def write(self, path: Path) -> Path:
        path.write_bytes(self.to_bytes())
        return path

    def _tensor(self, b: flatbuffers.Builder, tensor: Tensor, buffers: list[int]) -> int:
        buffer = 0
        if tensor.data is not None:
            buffers.append(_table(b, "Buffer", Data=b.CreateByteVector(tensor.data)))
            buffer = len(buffers) - 1
        quantization = _table(
            b,
            "QuantizationParameters",
            Scale=_numbers(b, tensor.scale, "f4"),
            ZeroPoint=_numbers(b, tensor.zero_point, "i8"),
        )
        return _table(
            b,
            "Tensor",
            Shape=_numbers(b, tensor.shape, "i4"),
            Type=getattr(tflite.TensorType, tensor.type),
            Buffer=buffer,
            Quantization=quantization,
        )

    def _operator(self, b: flatbuffers.Builder, operator: Operator, names: list[str]) -> int:
        kind = _OPTIONS.get(operator.name)
        options = _table(b, kind, **operator.options) if kind else _table(b, "AddOptions")
        return _table(
            b,
            "Operator",
            OpcodeIndex=names.index(operator.name),
            Inputs=_numbers(b, operator.inputs, "i4"),
            Outputs=_numbers(b, (operator.output,), "i4"),
            BuiltinOptionsType=getattr(tflite.BuiltinOptions, kind or "AddOptions"),
            BuiltinOptions=options,
        )


def make_file(rng: np.random.Generator) -> TfliteFile:
    """3x3 of stride 2, depthwise 3x3 of stride 2, 1x1, pool, 1x1 to CLASSES outputs, softmax.

    Operators 0 to 6 in this order, with RESHAPE as 5. Weights span all of uint8.
    """
    file = TfliteFile()
    x = file.add((1, SIDE, SIDE, 3), (1 / 128,), (128,))
    x = add_convolution(file, rng, x, 3, 2, 8, depthwise=False)
    x = add_convolution(file, rng, x, 3, 2, 8, depthwise=True)
    x = add_convolution(file, rng, x, 1, 1, 6, depthwise=False)
    before = file.tensors[x]
    pooled = file.add((1, 1, 1, 6), before.scale, before.zero_point)
    side = before.shape[1]
    window = {"FilterHeight": side, "FilterWidth": side, "StrideH": side, "StrideW": side}
    window["Padding"] = tflite.Padding.VALID
    file.operators.append(Operator("AVERAGE_POOL_2D", [x], pooled, window))
    x = add_convolution(file, rng, pooled, 1, 1, CLASSES, depthwise=False, relu6=False)
    logits = file.tensors[x]
    shape = file.add((2,), (), (), "INT32", np.array([1, CLASSES], np.int32).tobytes())
    flat = file.add((1, CLASSES), logits.scale, logits.zero_point)
    file.operators.append(Operator("RESHAPE", [x, shape], flat))
    scores = file.add((1, CLASSES), (1 / 256,), (0,))
    file.operators.append(Operator("SOFTMAX", [flat], scores, {"Beta": 1.0}))
    return file


def add_convolution(
    file: TfliteFile,
    rng: np.random.Generator,
    source: int,
    kernel: int,
    stride: int,
    channels: int,
    depthwise: bool,
    relu6: bool = True,
) -> int:
    """Appends a convolution with random parameters; returns the index of what it writes."""
    before = file.tensors[source]
    _, height, width, channels_in = before.shape
    shape = (1, kernel, kernel, channels)
    if not depthwise:
        shape = (channels, kernel, kernel, channels_in)
    weight = rng.integers(0, 256, shape, np.uint8)
    weight.flat[:2] = 0, 255
    taps = weight[..., 0].size if depthwise else weight[0].size
    scale = np.float32(2 / 128 / np.sqrt(taps))
    bias_scale = np.float32(before.scale[0]) * scale
    bias = np.rint(rng.normal(0.5, 0.5, channels) / bias_scale).astype(np.int32)
    target = file.add(
        (1, -(-height // stride), -(-width // stride), channels),
        (6 / 255,) if relu6 else (0.05,),
        (0,) if relu6 else (100,),
    )
    inputs = [source, file.constant(weight, float(scale), 120)]
    inputs.append(file.constant(bias, float(bias_scale), 0))
    options = {
        "Padding": tflite.Padding.SAME,
        "StrideH": stride,
        "StrideW": stride,
        "DilationHFactor": 1,
        "DilationWFactor": 1,
        "FusedActivationFunction": getattr(
            tflite.ActivationFunctionType, "RELU6" if relu6 else "NONE"
        ),
    }
    name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    file.operators.append(Operator(name, inputs, target, options))
    return target


def cut(file: TfliteFile, after: int) -> tuple[TfliteFile, TfliteFile]:
    """Two files: operators 0 to `after`, and the rest."""
    return (
        TfliteFile(file.tensors, file.operators[: after + 1]),
        TfliteFile(file.tensors, file.operators[after + 1 :]),
    )


def _table(b: flatbuffers.Builder, name: str, **fields: Any) -> int:
    getattr(tflite, f"{name}Start")(b)
    for key, value in fields.items():
        getattr(tflite, f"{name}Add{key}")(b, value)
    return int(getattr(tflite, f"{name}End")(b))


def _numbers(b: flatbuffers.Builder, values: Any, dtype: str) -> int:
    return int(b.CreateNumpyVector(np.asarray(values, dtype)))


def _offsets(b: flatbuffers.Builder, offsets: list[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())
