"""The parts of a peak add up to it, by hand-made measurements."""

from loadtests.memory.measured import Load
from loadtests.memory.parts import DECODING, REQUESTS, RUNNING, list_parts
from tests.loadtests.memory.test_report import MIB, make_measured


def test_parts_add_up_to_the_peak() -> None:
    found = make_measured()
    parts = {part.name: part.rss for part in list_parts(found)}
    assert sum(parts.values()) == found.peak == 85 * MIB
    assert parts[RUNNING] == 2 * MIB
    assert parts[DECODING] == 5 * MIB
    assert parts[REQUESTS] == 8 * MIB


def test_decoding_is_no_more_than_the_load() -> None:
    found = make_measured(loads=[Load(1, [73 * MIB] * 3, 1, 1.0)])
    parts = {part.name: part.rss for part in list_parts(found)}
    assert (parts[DECODING], parts[REQUESTS]) == (MIB, 0)
