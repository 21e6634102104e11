"""runtime.plan.steps: output and tensors of each kind, within limits of the kernel library."""

from dataclasses import replace

import numpy as np
import pytest

from runtime.errors import InvalidManifest
from runtime.kernels import library
from runtime.kernels.parts import BinaryLayer, Convolution, Stage, Stem, Window
from runtime.plan import StageStep, StemConvolution, StemStep, TransitionStep
from runtime.plan.steps import KINDS, MAX_CONVOLUTIONS, MAX_COUNT, MAX_LAYERS

CONVOLUTION = StemConvolution(4, 4, Window(1, 1), 1, relu=False)


def test_kinds_are_known_by_what_the_json_calls_them() -> None:
    assert {name: kind.part for name, kind in KINDS.items()} == {name: name for name in KINDS}
    assert list(KINDS) == ["stem", "stage", "transition", "head"]


def test_stem_passes_its_image_through_convolutions_and_pool() -> None:
    first = StemConvolution(3, 32, Window(3, 2, 1, 1), 1, relu=True)
    second = StemConvolution(32, 64, Window(3, 1, 0, 0), 4, relu=True, arithmetic="int8")
    stem = StemStep("trunk", (3, 32, 48), (first, second), Window(2, 2))
    assert stem.maps == [(32, 16, 24), (64, 14, 22)]
    assert stem.output == (64, 7, 11)
    assert second.weight_shape == (64, 8, 3, 3)
    assert stem.tensors()["trunk.conv1.weight"] == (np.int8, (64, 8, 3, 3))
    assert replace(stem, pool=None).output == (64, 14, 22)


def test_layers_of_a_stage_read_what_dense_ones_have_added() -> None:
    stage = StageStep("stage1", (32, 7, 9), 0, ("dense", "improvement", "dense", "improvement"))
    assert stage.channels == [32, 96, 96, 160]
    assert stage.output == (160, 7, 9)
    assert stage.tensors()["stage1.layer3.weight"] == (np.uint32, (64, 3, 3, 5))


def test_transition_may_do_without_pool() -> None:
    step = TransitionStep("transition1", (96, 8, 8), 32, groups=4)
    assert step.output == (32, 8, 8)
    assert step.tensors()["transition1.weight"] == (np.float32, (32, 24, 1, 1))
    assert replace(step, pool=Window(2, 2)).output == (32, 4, 4)


def test_a_stem_has_as_many_convolutions_as_the_kernels_take() -> None:
    def prepare(count: int) -> None:
        weight = np.zeros((4, 4, 1, 1), np.float32)
        library.prepare_stem(Stem(1, 1, [Convolution(weight, None, Window(1, 1))] * count))

    prepare(MAX_CONVOLUTIONS)
    StemStep("stem", (4, 1, 1), (CONVOLUTION,) * MAX_CONVOLUTIONS)
    with pytest.raises(ValueError, match="expected"):
        prepare(MAX_CONVOLUTIONS + 1)
    with pytest.raises(InvalidManifest, match="from 1 to 8 as `convolutions`, found 9"):
        StemStep("stem", (4, 1, 1), (CONVOLUTION,) * (MAX_CONVOLUTIONS + 1))


def test_a_map_within_a_stem_is_no_larger_than_one_between_steps() -> None:
    wide = replace(CONVOLUTION, channels_out=2**16)
    narrow = replace(CONVOLUTION, channels_in=2**16)
    with pytest.raises(InvalidManifest, match="convolution 0: expected at most"):
        StemStep("stem", (4, 64, 64), (wide, narrow))


def prepare_stage(channels: int, *improvements: bool) -> None:
    """Without a StageStep, which might refuse it."""
    layers = []
    for is_improvement in improvements:
        words = channels // 32
        weight, flip = np.zeros((64, 3, 3, words), np.uint32), np.zeros(words, np.uint32)
        layers.append(BinaryLayer(weight, np.zeros(channels, np.float32), flip, is_improvement))
        channels += 0 if is_improvement else 64
    library.prepare_stage(Stage(len(layers[0].threshold), 1, 1, -1, layers))


def test_sums_of_a_stage_are_those_that_the_kernels_count() -> None:
    """An improvement adds to what is there: its mismatches and those before count together."""
    for widest, layers in ((7264, ("dense",)), (3584, ("dense", "improvement"))):
        improvements = [kind == "improvement" for kind in layers]
        prepare_stage(widest, *improvements)
        StageStep("stage", (widest, 1, 1), -1, layers)
        with pytest.raises(ValueError, match="expected counts up to 65535"):
            prepare_stage(widest + 32, *improvements)
        with pytest.raises(InvalidManifest, match=f"expected at most {MAX_COUNT} binary weights"):
            StageStep("stage", (widest + 32, 1, 1), -1, layers)


def test_a_stage_has_no_more_layers_than_the_kernels_take() -> None:
    layers = ("dense", *["dense"] * MAX_LAYERS)
    with pytest.raises(InvalidManifest, match="from 1 to 1024 as `layers`, found 1025"):
        StageStep("stage", (32, 1, 1), -1, layers)
