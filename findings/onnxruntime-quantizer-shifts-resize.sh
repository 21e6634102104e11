#!/usr/bin/env bash
# onnxruntime 1.32.0 with onnx 1.23.2: what prepares a model for quantization shifts its linear Resize by part of a pixel, and
# so does quantize_static when it is asked for the more exact 16 bits; with 8 bits it does not.
#
# quantize_static advises to run quant_pre_process first, whose documents name shape inference and optimization: things that
# keep the answers. It also hands every model of operator set 10 and below to onnx.version_converter, and 16 bits hand every
# model below 21. Resize of operator set 10 scales from the corner; since 11 it scales from the pixels' centres unless told
# otherwise, and the converter tells nothing. So the network is another one before anything was quantized, and the loss is put
# down to the quantization. No error; the warning for 16 bits speaks of the operator set ("please verify"), not of what changes.
# Setting coordinate_transformation_mode to "asymmetric" afterwards mends it; a model exported for 11 or later is safe with 8
# and with 16 bits. The converter's half was reported and called a bug there (onnx issue 8480, open); the quantizer's was not.
#
# Seen: the float model 0 5 10 15 20 25 30 30; prepared, and with 16 bits, 0 2.5 7.5 12.5 17.5 22.5 27.5 30; with 8 bits as before.
# (A model of one Resize: nothing in it is quantized, all that is seen is the conversion.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export ORT_DISABLE_TELEMETRY=1
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cat >"$folder/look.py" <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

image = np.array([0, 10, 20, 30], np.float32).reshape(1, 1, 1, 4)


class Images(CalibrationDataReader):
    def __init__(self):
        self.left = [{"image": image}]

    def get_next(self):
        return self.left.pop() if self.left else None


def tell(name, path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": image})[0].ravel()
    opset = onnx.load(path).opset_import[0].version
    print(f"{name} (operator set {opset}):", *(f"{value:.1f}" for value in found))


graph = helper.make_graph(
    [helper.make_node("Resize", ["image", "scales"], ["out"], mode="linear")],
    "one",
    [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 1, 4])],
    [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 1, 1, 8])],
    [numpy_helper.from_array(np.array([1, 1, 1, 2], np.float32), "scales")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 10)], ir_version=6)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "float.onnx")
tell("float", "float.onnx")
quant_pre_process("float.onnx", "prepared.onnx", skip_symbolic_shape=True)
tell("prepared", "prepared.onnx")
quantize_static("float.onnx", "eight.onnx", Images(), activation_type=QuantType.QUInt8)
tell("8 bits", "eight.onnx")
quantize_static("float.onnx", "sixteen.onnx", Images(), activation_type=QuantType.QUInt16)
tell("16 bits", "sixteen.onnx")
mended = onnx.load("prepared.onnx")
(resize,) = (node for node in mended.graph.node if node.op_type == "Resize")
resize.attribute.append(helper.make_attribute("coordinate_transformation_mode", "asymmetric"))
onnx.save(mended, "mended.onnx")
tell("mended", "mended.onnx")
PYTHON
found=$(cd "$folder" && venv/bin/python look.py 2>errors) || { cat "$folder/errors" >&2; exit 1; }
expected='float (operator set 10): 0.0 5.0 10.0 15.0 20.0 25.0 30.0 30.0
prepared (operator set 11): 0.0 2.5 7.5 12.5 17.5 22.5 27.5 30.0
8 bits (operator set 10): 0.0 5.0 10.0 15.0 20.0 25.0 30.0 30.0
16 bits (operator set 21): 0.0 2.5 7.5 12.5 17.5 22.5 27.5 30.0
mended (operator set 11): 0.0 5.0 10.0 15.0 20.0 25.0 30.0 30.0'
printf '%s\n' "$found"
[ "$found" = "$expected" ] || { printf 'changed; expected:\n%s\n' "$expected" >&2; exit 1; }
echo "as described"
