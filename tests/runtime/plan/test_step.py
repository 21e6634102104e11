"""runtime.plan.step: float layers in both arithmetics, and what every step checks."""

import numpy as np
import pytest

from runtime.errors import InvalidManifest
from runtime.kernels import library
from runtime.kernels.parts import Head, Int8
from runtime.plan import ARITHMETICS, FloatLayer, HeadStep
from runtime.plan.step import FLOAT32, INT8, MAX_INT8_TAPS


def test_the_first_arithmetic_is_meant_if_none_is_named() -> None:
    assert [FloatLayer(arithmetic=name).is_int8 for name in (None, *ARITHMETICS)] == [0, 0, 1]
    assert FloatLayer().arithmetic_json() == {}
    assert FloatLayer(arithmetic="float32").arithmetic_json() == {"arithmetic": "float32"}


def test_tensors_of_a_weight_follow_its_arithmetic() -> None:
    assert FloatLayer().weight_tensors("a.", (4, 3), "") == {"a.weight": (FLOAT32, (4, 3))}
    assert FloatLayer(arithmetic="int8").weight_tensors("a.", (4, 3), "") == {
        "a.weight": (INT8, (4, 3)),
        "a.sum_scale": (FLOAT32, (4,)),
        "a.inverse_step": (FLOAT32, (1,)),
    }


def test_weights_of_an_8_bit_output_are_as_many_as_the_kernels_add_up() -> None:
    def prepare(channels: int) -> None:
        ones, one = np.ones(channels, np.float32), np.ones(1, np.float32)
        weight = np.zeros((1, channels), np.int8)
        library.prepare_head(Head(ones, ones, weight, one, 1, 1, Int8(one, 1.0)))

    layer = FloatLayer(arithmetic="int8")
    prepare(MAX_INT8_TAPS)
    layer.weight_tensors("", (1, MAX_INT8_TAPS), "here")
    with pytest.raises(ValueError, match="expected"):
        prepare(MAX_INT8_TAPS + 1)
    with pytest.raises(InvalidManifest, match="here: expected at most 65536 8-bit weights"):
        layer.weight_tensors("", (1, MAX_INT8_TAPS + 1), "here")


def test_a_step_is_checked_when_it_is_made() -> None:
    with pytest.raises(InvalidManifest, match="expected a name as `name`, found 'a-b'"):
        HeadStep("a-b", (3, 1, 1), 2)
    with pytest.raises(InvalidManifest, match=r"head: expected 3 whole numbers .* `input`"):
        HeadStep("head", (3, 0, 1), 2)
    with pytest.raises(InvalidManifest, match=r"head: expected 1 whole numbers .* `output`"):
        HeadStep("head", (3, 1, 1), 0)
    step = HeadStep("head", (3, 1, 1), 2)
    assert (step.part, step.output) == ("head", (2,))
    assert step.as_json() == {"name": "head", "part": "head", "input": [3, 1, 1], "output": [2]}
    assert set(step.tensors()) == {f"head.{x}" for x in ("scale", "shift", "weight", "bias")}
