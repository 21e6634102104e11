#!/usr/bin/env bash
# onnxslim 0.1.98: a Mul after a Conv whose constant scales columns is folded into the weights as if it scaled channels.
#
# onnxslim is to make a model smaller and its answers the same. A constant [4] multiplies the last axis of the convolution's
# answer, by the broadcasting of ONNX; [1, 4, 1, 1] multiplies the channels, and that one alone can be folded into weights.
# FusionConvMul drops all axes of length 1 and asks only whether as many numbers remain as there are channels. So a weight for
# each column or each row (a window over time, one for each frequency band, a mask of the border) is folded wrongly as soon
# as the picture happens to be as wide or as high there as the layer has channels: 64 bands and 64 channels are nothing
# rare. Its sister for Add, FusionConvAdd, compares the axes and is right. No warning; --model-check, which compares, is off by
# itself. skip_fusion_patterns=["FusionConvMul"] helps. onnxsim 0.8.1 and ONNX Runtime 1.32.0 keep the answers of such a model.
#
# Seen, largest difference of the answers before and after (they are up to 36 large): [1, 4, 1, 1] 0; [4], [4, 1] and, in one
# dimension, [4] wrong; with Add 0; with the pattern skipped 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnxslim==0.1.98 onnx==1.23.2 numpy==2.4.6
cat >"$folder/look.py" <<'PYTHON'
import numpy as np
import onnx
import onnxslim
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator


def build(operator, shape, spatial):
    """A convolution of ones, 1 channel to 4, whose answer is 4 wide (and high), and the operator with 1, 2, 3, 4."""
    weights = np.ones([4, 1] + [3] * spatial, np.float32)
    constant = np.arange(1, 5, dtype=np.float32).reshape(shape)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "weights"], ["maps"]), helper.make_node(operator, ["maps", "constant"], ["out"])],
        "one",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1] + [6] * spatial)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 4] + [4] * spatial)],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(constant, "constant")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def tell(operator, shape, spatial=2, **options):
    image = {"image": np.ones([1, 1] + [6] * spatial, np.float32)}
    before = ReferenceEvaluator(build(operator, shape, spatial)).run(None, image)[0]
    slim = onnxslim.slim(build(operator, shape, spatial), **options)
    after = ReferenceEvaluator(slim).run(None, image)[0]
    kinds = " ".join(node.op_type for node in slim.graph.node)
    print(f"{operator} {shape} {spatial}d:", f"{np.abs(before - after).max():g} of {before.max():g},", kinds)


tell("Mul", [1, 4, 1, 1])
tell("Mul", [4])
tell("Mul", [4, 1])
tell("Mul", [4], spatial=1)
tell("Add", [4])
tell("Mul", [4], skip_fusion_patterns=["FusionConvMul"])
PYTHON
found=$("$folder/venv/bin/python" "$folder/look.py" 2>"$folder/errors") || { cat "$folder/errors" >&2; exit 1; }
expected='Mul [1, 4, 1, 1] 2d: 0 of 36, Conv
Mul [4] 2d: 27 of 36, Conv
Mul [4, 1] 2d: 27 of 36, Conv
Mul [4] 1d: 9 of 12, Conv
Add [4] 2d: 0 of 13, Conv Add
Mul [4] 2d: 0 of 36, Conv Mul'
printf '%s\n' "$found"
[ "$found" = "$expected" ] || { printf 'changed; expected:\n%s\n' "$expected" >&2; exit 1; }
echo "as described"
