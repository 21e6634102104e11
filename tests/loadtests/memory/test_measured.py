"""What was found of memory: when a peak is level."""

import pytest

from loadtests.memory.measured import Load
from tests.loadtests.memory.test_report import MIB, make_measured


@pytest.mark.parametrize(
    ("peaks", "level"),
    [
        ([100], False),
        ([100, 100], False),  # two slices have to follow a first one
        ([100, 101, 101], True),
        ([100, 101, 102], False),
        ([50, 100, 100, 101], True),
    ],
)
def test_peak_is_level_after_two_slices_that_raise_it_no_more(
    peaks: list[int], level: bool
) -> None:
    assert Load(8, [peak * MIB for peak in peaks]).is_level(0.01) == level


def test_highest_peak_is_of_all_loads() -> None:
    found = make_measured()
    found.loads = [Load(8, [60 * MIB, 80 * MIB]), Load(16, [70 * MIB])]
    assert found.peak == 80 * MIB
