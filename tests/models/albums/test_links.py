"""models.albums.links: pairs of photos equal those of a look at every pair; counts bound them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.albums.facts import Facts
from models.albums.links import EARTH, make_link, select
from models.albums.rules import Evidence
from tests.models.albums.albums import make_facts

photo = st.tuples(
    st.one_of(st.just(math.nan), st.integers(0, 20).map(float)),
    st.integers(0, 2),
    st.one_of(
        st.just((math.nan, math.nan)),
        st.tuples(st.integers(0, 6).map(lambda i: 48 + i / 2000), st.sampled_from([179.9999, 9.0])),
    ),
    st.booleans(),
    st.booleans(),
)
LINKS = [
    None,
    Evidence("same_session", ("a", "b")),
    Evidence("near", ("a", "b"), 3.0),
    Evidence("place", ("a", "b"), 120.0),
]


def look_at_all(facts: Facts, evidence: Evidence | None, p: int, q: int) -> bool:
    if evidence is None:
        return True
    if evidence.name == "same_session":
        return bool(facts.sessions[p] == facts.sessions[q])
    assert isinstance(evidence.value, float)
    if evidence.name == "near":
        return bool(abs(facts.times[p] - facts.times[q]) <= evidence.value)
    (a, b), (c, d) = np.radians(facts.places[p]), np.radians(facts.places[q])
    half = math.sin((a - c) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((b - d) / 2) ** 2
    return 2 * EARTH * math.asin(math.sqrt(half)) <= evidence.value if half == half else False


@pytest.mark.parametrize("evidence", LINKS, ids=lambda e: e.name if e else "all")
@given(st.lists(photo, max_size=12))
def test_pairs_are_those_of_a_look_at_every_pair(
    evidence: Evidence | None, photos: list[tuple[float, int, tuple[float, float], bool, bool]]
) -> None:
    times, sessions, places, first, second = (
        map(list, zip(*photos, strict=True)) if photos else ([] for _ in range(5))
    )
    facts = make_facts(times, sessions, places=places)
    masks = np.array(first, bool), np.array(second, bool)
    link = make_link(facts, evidence, *masks)
    pairs = {(int(p), int(q)) for p, q in link.pairs()}
    expected = {
        (p, q)
        for p in np.flatnonzero(masks[0])
        for q in np.flatnonzero(masks[1])
        if p != q and look_at_all(facts, evidence, p, q)
    }
    assert pairs == expected
    assert link.count >= len(expected)
    rows = np.array(sorted(expected), np.int64).reshape(-1, 2)
    assert link.keeps(rows[:, 0], rows[:, 1]).all()
    # A dense group has so many photos on both sides, each linked with each.
    shared = masks[0] & masks[1]
    if shared.sum() == masks[0].sum() == masks[1].sum() > 0:
        assert link.dense * (link.dense - 1) <= len(expected)


def test_cameras_and_folders_match_without_case_and_with_stars() -> None:
    facts = make_facts(
        [0] * 4, None, ["Feeder 1", "feeder", "", "Trap"], [("Cats", "2024"), (), ("x",), ()]
    )
    camera, folder = (
        Evidence(n, ("a",), v) for n, v in (("camera", "FEEDER*"), ("folder", "cats"))
    )
    assert select(facts, (camera,)).tolist() == [True, True, False, False]
    assert select(facts, (folder,)).tolist() == [True, False, False, False]
    negated = Evidence("camera", ("a",), "feeder*", negated=True)
    assert select(facts, (negated, folder)).tolist() == [False] * 4
    assert select(facts, ()).all()


def test_a_million_photos_are_counted_without_a_list_of_pairs() -> None:
    facts = make_facts(np.zeros(1_000_000), np.zeros(1_000_000, np.int64))  # type: ignore[arg-type]
    everyone = np.ones(1_000_000, bool)
    for evidence in LINKS[:3]:
        link = make_link(facts, evidence, everyone, everyone)
        assert (link.count, link.dense) == (10**12, 10**6)
