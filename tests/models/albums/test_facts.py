"""models.albums.facts: sessions and bursts, whatever cameras and clocks say."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.albums.exif import Taken
from models.albums.facts import Facts, find_facts
from tests.models.albums.albums import NOON

NOW = NOON + 1e6


def group(*taken: Taken, gap: float = 120.0, burst: float = 2.0) -> Facts:
    return find_facts([f"{i}.jpg" for i in range(len(taken))], taken, gap, burst, NOW)


def at(seconds: float, zone: float | None = None, camera: str | None = None) -> Taken:
    return Taken(NOON + seconds, zone, camera)


def test_a_session_ends_after_a_gap_and_a_burst_sooner() -> None:
    facts = group(*(at(t, 0.0) for t in (0, 2, 4.5, 124.5, 244.6)))
    assert facts.sessions.tolist() == [0, 0, 0, 0, 1]
    assert facts.bursts.tolist() == [0, 0, 1, 2, 3]
    assert facts.notes == ()


def test_photos_without_a_time_are_sessions_of_their_own_and_that_is_said_once() -> None:
    facts = group(Taken(), Taken(), at(0, 0.0), Taken())
    assert len(set(facts.sessions.tolist())) == 4
    assert facts.notes == ("3 photos have no EXIF time; each is a session of its own",)


@pytest.mark.parametrize("wrong", [0.0, 5.0, 2**31 - 1.0, NOW + 90_000])
def test_clocks_that_were_not_set_give_no_sessions(wrong: float) -> None:
    facts = group(Taken(wrong), Taken(wrong + 1), at(0, 0.0))
    assert len(set(facts.sessions.tolist())) == 3
    assert np.isnan(facts.times[:2]).all()
    assert len(facts.notes) == 1
    assert "2 photos have a time before 1995 or in the future" in facts.notes[0]


def test_a_jump_of_the_clock_ends_a_session() -> None:
    assert group(at(0), at(-3e7), at(1), at(2 - 3e7)).sessions.tolist() == [1, 0, 1, 0]


def test_mixed_zones_are_compared_in_utc() -> None:
    facts = group(at(7200, 7200), at(30, 0), at(3660, 3600))
    assert facts.sessions.tolist() == [0, 0, 0]
    assert facts.notes == ()


def test_a_photo_without_a_zone_has_that_of_the_same_cameras_next_photo() -> None:
    facts = group(at(7200, 7200, "A"), at(7230, None, "A"), at(20, None, "B"))
    assert facts.times.tolist() == [NOON, NOON + 30, NOON + 20]
    assert "2 photos have no time zone" in facts.notes[0]


def test_times_of_photos_without_a_zone_are_not_said_to_be_utc() -> None:
    assert "as if in UTC" in group(at(0), at(1)).notes[0]
    assert group(at(0, 0.0), at(1, 0.0)).notes == ()


def test_cameras_have_sessions_of_their_own() -> None:
    assert group(at(0, None, "A"), at(1, None, "B"), at(2, None, "A")).sessions.tolist() == [
        0,
        1,
        0,
    ]


@pytest.mark.parametrize("count", [0, 1])
def test_none_or_one_photo(count: int) -> None:
    facts = group(*[at(0)] * count)
    assert facts.sessions.tolist() == [0] * count
    assert facts.places.shape == (count, 2)


moments = st.one_of(st.none(), st.integers(0, 1000).map(lambda t: NOON + t / 2))
takens = st.builds(
    Taken, moments, st.sampled_from([None, 0.0, 3600.0]), st.sampled_from([None, "A", "B"])
)


@given(st.lists(takens, max_size=12), st.randoms())
def test_the_order_of_photos_does_not_matter(taken: list[Taken], random: Random) -> None:
    names = [f"{i}.jpg" for i in range(len(taken))]
    order = list(range(len(taken)))
    random.shuffle(order)
    facts = find_facts(names, taken, now=NOW)
    other = find_facts([names[i] for i in order], [taken[i] for i in order], now=NOW)
    assert other.sessions.tolist() == facts.sessions[order].tolist()
    assert other.bursts.tolist() == facts.bursts[order].tolist()
    assert other.notes == facts.notes
