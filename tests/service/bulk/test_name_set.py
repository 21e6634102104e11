"""service.bulk.name_set: what a set of Python's says, in less memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bulk import name_set
from service.bulk.name_set import NameSet


@given(names=st.lists(st.integers(0, 60).map(str), max_size=200), recent=st.integers(1, 9))
def test_it_says_what_a_set_says(names: list[str], recent: int) -> None:
    known: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(name_set, "_RECENT", recent)
        found = NameSet()
        for name in names:
            assert found.add(name) == (name not in known)
            known.add(name)
            assert len(found) == len(known)


def test_a_name_takes_eight_bytes() -> None:
    found = NameSet()
    count = 3 * 65_536
    assert all(found.add(f"photos/{number}.jpg") for number in range(count))
    assert not found.add("photos/1.jpg")
    assert found._sorted.nbytes == 8 * count
    assert not found._recent
