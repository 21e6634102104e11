"""Not a contestant: writes an ONNX graph of a MobileNet as a .tflite file with its own weights.

Google's converters start from PyTorch, JAX or TensorFlow; these networks need few operators. Maps
become [N, H, W, C] as LiteRT wants them; a padding on all sides becomes a Pad operator, which
XNNPACK makes part of the convolution behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

BLOCK_OF_FILE = b"TFL3"


def open_peer(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Callable[[], None]]]:
    """options: model, out (paths), batch. No calls."""
    import onnx

    writer = _Writer(onnx.load(options["model"]).graph, options["batch"])
    Path(options["out"]).write_bytes(writer.write())
    return {"operators": len(writer.graph.operators)}, {}


class _Writer:
    """Goes through the nodes in order; `shapes` are those of the maps, [N, H, W, C]."""

    def __init__(self, graph: Any, batch: int) -> None:
        from ai_edge_litert import schema_py_generated as schema
        from onnx import numpy_helper

        self.schema = schema
        self.weights = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]  # the first one is empty: of tensors without values
        self.model.operatorCodes, self.graph.tensors, self.graph.operators = [], [], []
        self.graph.name = self.model.description = graph.name
        self.codes: dict[int, int] = {}
        self.indices: dict[str, int] = {}
        _, channels, height, width = (
            d.dim_value for d in graph.input[0].type.tensor_type.shape.dim
        )
        self.shapes = {graph.input[0].name: [batch, height, width, channels]}
        self.graph.inputs = [self._tensor(graph.input[0].name)]
        nodes = list(graph.node)
        while nodes:
            node = nodes.pop(0)
            following = nodes[0] if nodes and nodes[0].input[0] == node.output[0] else None
            if self._convert(node, following):
                nodes.pop(0)
        self.graph.outputs = [self.indices[graph.output[0].name]]
        self.model.signatureDefs = [self._sign(graph.input[0].name, graph.output[0].name)]

    def write(self) -> bytes:
        """The file."""
        import flatbuffers

        self.model.subgraphs = [self.graph]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), BLOCK_OF_FILE)
        return bytes(builder.Output())

    # ---- nodes ----------------------------------------------------------------------------------

    def _convert(self, node: Any, following: Any) -> bool:
        """One node; True if it took the activation that follows into itself."""
        import onnx

        facts = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        name, inputs = node.output[0], list(node.input)
        if node.op_type in ("Conv", "Gemm"):
            activation, output = self._activation(following, name)
            convert = self._convolve if node.op_type == "Conv" else self._connect
            convert(inputs, output, facts, activation)
            return bool(output != name)
        convert_simple = {
            "Add": self._add,
            "Mul": self._multiply,
            "GlobalAveragePool": self._pool,
            "Flatten": self._flatten,
            "HardSwish": self._hard_swish,
            "HardSigmoid": self._hard_sigmoid,
            "Identity": self._rename,
        }
        if node.op_type not in convert_simple:
            raise ValueError(
                f"expected operators of a MobileNet ({', '.join(convert_simple)}), found "
                f"{node.op_type}; teach litert_convert_peer.py this one"
            )
        convert_simple[node.op_type](inputs, name)
        return False

    def _activation(self, following: Any, name: str) -> tuple[int, str]:
        """What a convolution does to its sums, and the name of what it writes then."""
        kinds = self.schema.ActivationFunctionType
        if following is not None and following.op_type == "Relu":
            return kinds.RELU, following.output[0]
        if following is not None and following.op_type == "Clip":
            low, high = (float(self.weights[value]) for value in following.input[1:])
            if (low, high) != (0, 6):
                raise ValueError(f"expected ReLU6, found Clip({low}, {high})")
            return kinds.RELU6, following.output[0]
        return kinds.NONE, name

    def _convolve(self, inputs: list[str], out: str, facts: Any, activation: int) -> None:
        x, weight = inputs[0], self.weights[inputs[1]]
        stride, pads = facts["strides"][0], facts["pads"]
        batch, height, width, channels = self.shapes[x]
        if any(pads):
            top, left, bottom, right = pads
            height, width = height + top + bottom, width + left + right
            padded = f"{x}, padded for {out}"
            self.shapes[padded] = [batch, height, width, channels]
            sides = self._constant([[0, 0], [top, bottom], [left, right], [0, 0]], "int32")
            self._operator("PAD", "PadOptions", self.schema.PadOptionsT(), [x, sides], padded)
            x = padded
        side = weight.shape[2]
        options: Any
        if facts["group"] == channels and channels > 1:
            options = self.schema.DepthwiseConv2DOptionsT()
            options.depthMultiplier = 1
            kind, weight = "DEPTHWISE_CONV_2D", weight.transpose(1, 2, 3, 0)
            outputs = weight.shape[3]
        else:
            options = self.schema.Conv2DOptionsT()
            kind, weight = "CONV_2D", weight.transpose(0, 2, 3, 1)
            outputs = weight.shape[0]
        options.padding = self.schema.Padding.VALID
        options.strideH = options.strideW = stride
        options.dilationHFactor = options.dilationWFactor = 1
        options.fusedActivationFunction = activation
        self.shapes[out] = [
            *(batch, (height - side) // stride + 1, (width - side) // stride + 1, outputs)
        ]
        values = [x, self._constant(weight), self._constant(self.weights[inputs[2]])]
        name = "DepthwiseConv2DOptions" if kind.startswith("DEPTH") else "Conv2DOptions"
        self._operator(kind, name, options, values, out)

    def _connect(self, inputs: list[str], out: str, facts: Any, activation: int) -> None:
        weight = self.weights[inputs[1]]
        if not facts.get("transB"):
            weight = weight.T
        options = self.schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = activation
        self.shapes[out] = [self.shapes[inputs[0]][0], weight.shape[0]]
        values = [inputs[0], self._constant(weight), self._constant(self.weights[inputs[2]])]
        self._operator("FULLY_CONNECTED", "FullyConnectedOptions", options, values, out)

    def _add(self, inputs: list[str], out: str) -> None:
        self.shapes[out] = self.shapes[inputs[0]]
        self._operator("ADD", "AddOptions", self.schema.AddOptionsT(), inputs, out)

    def _multiply(self, inputs: list[str], out: str) -> None:
        self.shapes[out] = self.shapes[inputs[0]]
        self._operator("MUL", "MulOptions", self.schema.MulOptionsT(), inputs, out)

    def _pool(self, inputs: list[str], out: str) -> None:
        batch, _, _, channels = self.shapes[inputs[0]]
        self.shapes[out] = [batch, 1, 1, channels]
        options = self.schema.ReducerOptionsT()
        options.keepDims = True
        values = [inputs[0], self._constant([1, 2], "int32")]
        self._operator("MEAN", "ReducerOptions", options, values, out)

    def _flatten(self, inputs: list[str], out: str) -> None:
        batch, height, width, channels = self.shapes[inputs[0]]
        self.shapes[out] = [batch, height * width * channels]
        if (height, width) != (1, 1):
            raise ValueError(f"expected means to flatten, found a map of {height}x{width}")
        options = self.schema.ReshapeOptionsT()
        options.newShape = self.shapes[out]
        values = [inputs[0], self._constant(self.shapes[out], "int32")]
        self._operator("RESHAPE", "ReshapeOptions", options, values, out)

    def _hard_swish(self, inputs: list[str], out: str) -> None:
        self.shapes[out] = self.shapes[inputs[0]]
        self._operator(
            "HARD_SWISH", "HardSwishOptions", self.schema.HardSwishOptionsT(), inputs, out
        )

    def _hard_sigmoid(self, inputs: list[str], out: str) -> None:
        """As TensorFlow writes it: ReLU6(x + 3) / 6."""
        shifted = f"{out}, times 6"
        self.shapes[shifted] = self.shapes[out] = self.shapes[inputs[0]]
        options = self.schema.AddOptionsT()
        options.fusedActivationFunction = self.schema.ActivationFunctionType.RELU6
        self._operator("ADD", "AddOptions", options, [inputs[0], self._constant([3])], shifted)
        values = [shifted, self._constant([1 / 6])]
        self._operator("MUL", "MulOptions", self.schema.MulOptionsT(), values, out)

    def _rename(self, inputs: list[str], out: str) -> None:
        self.indices[out], self.shapes[out] = self.indices[inputs[0]], self.shapes[inputs[0]]

    def _sign(self, given: str, found: str) -> Any:
        """The names of input and output, which quantizers ask for."""
        signature = self.schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = "serving_default", 0
        maps = []
        for name in (given, found):
            entry = self.schema.TensorMapT()
            entry.name, entry.tensorIndex = name, self.indices[name]
            maps.append([entry])
        signature.inputs, signature.outputs = maps
        return signature

    # ---- the file's tables ----------------------------------------------------------------------

    def _operator(
        self, kind: str, options_name: str, options: Any, inputs: list[str], out: str
    ) -> None:
        code = getattr(self.schema.BuiltinOperator, kind)
        if code not in self.codes:
            entry = self.schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
            self.codes[code] = len(self.model.operatorCodes)
            self.model.operatorCodes.append(entry)
        operator = self.schema.OperatorT()
        operator.opcodeIndex = self.codes[code]
        operator.inputs = [self.indices[name] for name in inputs]
        operator.outputs = [self._tensor(out)]
        operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options_name)
        operator.builtinOptions = options
        self.graph.operators.append(operator)

    def _tensor(self, name: str, buffer: int = 0, dtype: str = "float32") -> int:
        tensor = self.schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, list(self.shapes[name]), buffer
        tensor.type = getattr(self.schema.TensorType, dtype.upper())
        self.indices[name] = len(self.graph.tensors)
        self.graph.tensors.append(tensor)
        return self.indices[name]

    def _constant(self, values: Any, dtype: str = "float32") -> str:
        import numpy as np

        array = np.ascontiguousarray(values, dtype)
        buffer = self.schema.BufferT()
        buffer.data = array.view(np.uint8).reshape(-1)
        name = f"constant {len(self.model.buffers)}"
        self.shapes[name] = list(array.shape)
        self.model.buffers.append(buffer)
        self._tensor(name, len(self.model.buffers) - 1, dtype)
        return name
