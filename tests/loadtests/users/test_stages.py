"""Shapes: their stages fill the time, and a ramp ends at the first stage that is too much."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.users.stages import SHAPES, Ramp, find_stage, plan_stages


@given(st.sampled_from(SHAPES[:-1]), st.floats(0.1, 1000), st.floats(1, 10_000))
def test_stages_fill_the_time(shape: str, level: float, seconds: float) -> None:
    stages = plan_stages(shape, level, seconds)
    assert math.isclose(sum(stage.seconds for stage in stages), seconds)
    assert all(stage.level > 0 for stage in stages)
    assert find_stage(stages, 0) == 0
    assert find_stage(stages, seconds * 1.001) is None
    assert find_stage(stages, seconds * 0.999) == len(stages) - 1


def test_what_the_shapes_do() -> None:
    assert [s.level for s in plan_stages("step", 10, 5)] == [2, 4, 6, 8, 10]
    assert [s.level for s in plan_stages("spike", 10, 5)] == [10, 50, 10]
    assert {s.level for s in plan_stages("soak", 10, 5)} == {10}
    with pytest.raises(ValueError, match="expected a shape of steady, step, spike, soak; found"):
        plan_stages("ramp", 1, 1)


@given(st.floats(1, 100), st.floats(1.05, 3), st.integers(0, 20), st.booleans())
def test_the_knee_is_the_last_level_that_held(
    level: float, factor: float, held: int, whole: bool
) -> None:
    ramp = Ramp(round(level) if whole else level, 1, factor, whole=whole)
    levels = []
    for _ in range(held):
        assert ramp.current is not None
        levels.append(ramp.current.level)
        ramp.judge([])
    assert ramp.current is not None
    broken = ramp.current.level
    ramp.judge(["too slow"])
    assert ramp.current is None
    assert ramp.broken == broken
    assert ramp.knee == (levels[-1] if levels else None)
    assert levels == sorted(set(levels))
    assert "too slow" in ramp.describe("users")
    if whole:
        assert all(each == int(each) for each in levels)


def test_a_ramp_without_an_end() -> None:
    ramp = Ramp(10, 20, 2, max_seconds=50)
    assert ramp.describe("users").startswith("No stage of the ramp was finished")
    ramp.judge([])
    ramp.judge([])
    assert ramp.current is None
    assert ramp.describe("users").startswith("The knee is above 20 users")
    with pytest.raises(ValueError, match="expected a stage that runs"):
        ramp.judge([])
    with pytest.raises(ValueError, match="expected a factor above 1"):
        Ramp(1, 1, 1)
