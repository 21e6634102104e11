#!/usr/bin/env bash
# openvino 2026.4.1 on a CPU: FakeQuantize with two levels and one threshold, the way to write a binarization, answers NaN.
#
# The specification of FakeQuantize-1 gives x <= input_low the one value and x > input_high the other, says of input_high that it
# "can be the same as input_low for binarization", and of levels that 2 is for binarization. So a threshold t is input_low =
# input_high = t, and with the values -1 and 1 that is the activation of a binary network. The CPU plugin divides by
# input_high - input_low all the same, and each answer is NaN, near the threshold and far from it, without error or warning.
# Behind a Convolution, where such a network has it, the model is refused with a sentence about a "post-op" that names neither
# the node nor the limits. A tensor of one dimension is right, so that the first small trial succeeds. Limits with a small gap
# (t - 0.001, t + 0.001) are right; Greater and Select say the same without a gap.
# In the source (intel_cpu/src/nodes/fake_quantize.cpp) a check of ranges refuses equal limits unless there are two levels. A
# contributor of OpenVINO names this use of equal limits too (pull request 14294); a NaN of FakeQuantize on CPUs was reported
# in another setting (issue 36290, open). Nobody calls it intended.
#
# Seen (x86-64 with AVX-512): -2 -1 0 1 2 against 0: one dimension -1 -1 -1 1 1; [1, 5] and [1, 16, 1, 5] NaN throughout; behind
# a convolution refused.
set -euo pipefail
[ "$(uname -m)" = x86_64 ] || { echo 'seen on x86-64 alone' >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openvino==2026.4.1 numpy==2.4.6
cat >"$folder/look.py" <<'PYTHON'
import numpy as np
import openvino as ov
from openvino import opset8 as op

core = ov.Core()
line = np.array([-2, -1, 0, 1, 2], np.float32)


def answers(shape, build):
    image = op.parameter(shape, np.float32)
    model = ov.Model([build(image)], [image])
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    try:
        network = core.compile_model(model, "CPU", settings)
    except RuntimeError as error:
        return "refused: " + str(error).strip().splitlines()[-1]
    found = network(np.broadcast_to(line, shape).copy())[0]
    rows = {" ".join(f"{value:g}" for value in row) for row in found.reshape(-1, len(line))}
    return " | ".join(sorted(rows))


def quantize(image, low, high):
    one = [1] * len(image.shape)
    low, high, minus, plus = (np.full(one, value, np.float32) for value in (low, high, -1, 1))
    return op.fake_quantize(image, low, high, minus, plus, 2)


def convolve(image):
    """A convolution that changes nothing."""
    weights = np.eye(16, dtype=np.float32).reshape(16, 16, 1, 1)
    return op.convolution(image, weights, [1, 1], [0, 0], [0, 0], [1, 1])


def select(image):
    return op.select(op.greater(image, np.float32(0)), np.float32(1), np.float32(-1))


for shape in ([5], [1, 5], [1, 16, 1, 5]):
    print(shape, "equal limits:", answers(shape, lambda image: quantize(image, 0, 0)))
    print(shape, "with a gap:", answers(shape, lambda image: quantize(image, -0.001, 0.001)))
    print(shape, "Greater, Select:", answers(shape, select))
print("convolution, equal limits:", answers(shape, lambda image: quantize(convolve(image), 0, 0)))
print("convolution, with a gap:", answers(shape, lambda image: quantize(convolve(image), -0.001, 0.001)))
print("convolution, Greater, Select:", answers(shape, lambda image: select(convolve(image))))
PYTHON
found=$("$folder/venv/bin/python" "$folder/look.py")
expected='[5] equal limits: -1 -1 -1 1 1
[5] with a gap: -1 -1 -1 1 1
[5] Greater, Select: -1 -1 -1 1 1
[1, 5] equal limits: nan nan nan nan nan
[1, 5] with a gap: -1 -1 -1 1 1
[1, 5] Greater, Select: -1 -1 -1 1 1
[1, 16, 1, 5] equal limits: nan nan nan nan nan
[1, 16, 1, 5] with a gap: -1 -1 -1 1 1
[1, 16, 1, 5] Greater, Select: -1 -1 -1 1 1
convolution, equal limits: refused: could not append an elementwise post-op
convolution, with a gap: -1 -1 -1 1 1
convolution, Greater, Select: -1 -1 -1 1 1'
printf '%s\n' "$found"
[ "$found" = "$expected" ] || { printf 'changed; expected:\n%s\n' "$expected" >&2; exit 1; }
echo "as described"
