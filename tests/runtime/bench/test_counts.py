"""Operations of plans, against the published counts and against a convolution counted by hand."""

from runtime.bench.counts import BinaryShape, Macs, count_macs, plan_layers, stage_layers
from runtime.kernels.parts import Window
from runtime.plan import (
    BinaryKind,
    HeadStep,
    Plan,
    StageStep,
    StemConvolution,
    StemStep,
    TransitionStep,
)
from tests.runtime.bundles import make_network

STEM = [(3, 32, 3, 2, 1), (32, 32, 3, 1, 4), (32, 64, 3, 1, 8)]  # in, out, kernel, stride, groups


def grouped_stem() -> StemStep:
    convolutions = tuple(
        StemConvolution(a, b, Window(k, s, 1, 1), groups, relu=True) for a, b, k, s, groups in STEM
    )
    return StemStep("stem", (3, 224, 224), convolutions, Window(3, 2, 1, 1))


def stage(channels: int, side: int, pairs: int) -> StageStep:
    layers: tuple[BinaryKind, ...] = ("dense", "improvement")
    return StageStep(f"stage{channels}_{side}", (channels, side, side), -1, layers * pairs)


def transition(channels: int, side: int, channels_out: int) -> TransitionStep:
    shape = (channels, side, side)
    return TransitionStep(f"transition{side}", shape, channels_out, Window(2, 2))


def test_meliusnet22_has_the_published_counts() -> None:
    plan = Plan(
        (
            grouped_stem(),
            stage(64, 56, 4),
            transition(320, 56, 160),
            stage(160, 28, 5),
            transition(480, 28, 224),
            stage(224, 14, 4),
            transition(480, 14, 256),
            stage(256, 7, 4),
            HeadStep("head", (512, 7, 7), 1000),
        )
    )
    macs = [count_macs(step) for step in plan]
    assert sum(item.binary for item in macs) == 4_624_220_160
    assert sum(item.floats for item in macs) == 136_388_608
    assert len(plan_layers(plan)) == 34


def test_groups_divide_the_operations_of_a_transition() -> None:
    step = TransitionStep("transition", (96, 8, 8), 64, Window(2, 2), groups=4)
    assert count_macs(step) == Macs(64 * 24 * 16, 0)


def test_improvements_add_no_channels() -> None:
    layers = stage_layers(stage(32, 7, 2))
    assert [layer.channels for layer in layers] == [32, 96, 96, 160]
    assert layers[0] == BinaryShape(32, 7, 7)
    assert layers[1].macs == 64 * 9 * 96 * 49
    assert str(layers[3]) == "7x7x160"


def test_steps_of_a_bundle_are_understood() -> None:
    plan, _ = make_network(stem="grouped", image=32, groups=2)
    macs = {step.name: count_macs(step) for step in plan}
    assert macs["stem"].floats == 256 * (32 * 27 + 32 * 8 * 9 + 64 * 4 * 9)
    assert macs["stage1"].floats == macs["stem"].binary == 0
    assert macs["stage1"].binary > 0
    assert macs["head"].floats == plan[-1].input[0] * 7


def test_int8_layers_are_counted_apart() -> None:
    plan, _ = make_network(stem="grouped", image=32, groups=2, int8=True)
    macs = {step.name: count_macs(step) for step in plan}
    assert macs["stem"] == Macs(256 * 32 * 27, 0, 256 * (32 * 8 * 9 + 64 * 4 * 9))
    assert macs["head"] == Macs(0, 0, plan[-1].input[0] * 7)
