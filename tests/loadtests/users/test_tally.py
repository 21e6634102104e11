"""What became of requests, added up, and handed from one process to another."""

import json
from array import array
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from loadtests.users.tally import Tally, add_up

TIMES = st.lists(st.floats(0, 100), max_size=9).map(lambda values: array("d", values))
COUNTS = st.dictionaries(st.sampled_from("abc"), st.integers(1, 9)).map(Counter)
TALLIES = st.builds(
    Tally, TIMES, TIMES, TIMES, COUNTS, COUNTS, COUNTS, TIMES, st.just(1.5), st.just(2)
)


@given(TALLIES)
def test_handing_over_loses_nothing_and_leaves_nothing(tally: Tally) -> None:
    before = add_up([tally])
    plain = json.loads(json.dumps(tally.hand_over()))
    assert Tally.take_over(plain) == before
    assert tally == Tally()


@given(st.lists(TALLIES, max_size=4))
def test_adding_up(tallies: list[Tally]) -> None:
    total = add_up(tallies)
    assert total.total == sum(tally.total for tally in tallies)
    assert len(total.cut) == sum(len(tally.cut) for tally in tallies)
    assert total.cpu_share == (0.75 if tallies else 0)


def test_shares_are_percent() -> None:
    tally = Tally(latency=array("d", [0.1] * 6), lag=array("d", [0.0, 0.0, 0.0, 0.03]))
    tally.refused["429"], tally.failed["500"] = 3, 1
    assert (tally.total, tally.share(tally.refused), tally.share(tally.failed)) == (10, 30, 10)
    assert tally.count_late(0.02) == 25
    assert tally.as_json()["latency"]["p50_ms"] == 100
    assert Tally().share(Counter(a=1)) == Tally().count_late(1) == Tally().cpu_share == 0
