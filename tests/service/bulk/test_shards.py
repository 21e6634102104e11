"""service.bulk.shards: together the whole, none twice, the same on every machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bulk.shards import WHOLE, Shard, hash_name, parse_shard

# What names of files can be: any bytes but NUL, here as Python has them.
NAMES = st.binary(max_size=30).map(
    lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)


@given(name=NAMES, count=st.integers(1, 1000))
def test_each_name_is_in_exactly_one_shard(name: str, count: int) -> None:
    assert sum(Shard(index, count).has(name) for index in range(1, count + 1)) == 1
    assert WHOLE.has(name)


@given(index=st.integers(1, 10**6), more=st.integers(0, 10**6))
def test_what_is_printed_is_read(index: int, more: int) -> None:
    shard = Shard(index, index + more)
    assert parse_shard(str(shard)) == shard


@pytest.mark.parametrize(
    "text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1/ 2", "\u0661/\u0662"]
)
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(ValueError, match="expected I/N"):
        parse_shard(text)


def test_a_variable_counts_from_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Kubernetes, AWS Batch and Slurm number the parts of a job."""
    found = set()
    for number in range(3):
        monkeypatch.setenv("JOB_COMPLETION_INDEX", str(number))
        found.add(parse_shard("JOB_COMPLETION_INDEX/3"))
    assert found == {Shard(1, 3), Shard(2, 3), Shard(3, 3)}


@pytest.mark.parametrize("value", [None, "", "3", "-1", "one", "1.0"])
def test_a_variable_without_a_number_of_a_shard(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOB_COMPLETION_INDEX", raising=False)
    if value is not None:
        monkeypatch.setenv("JOB_COMPLETION_INDEX", value)
    with pytest.raises(ValueError, match="JOB_COMPLETION_INDEX to be from 0 to 2"):
        parse_shard("JOB_COMPLETION_INDEX/3")


def test_hashes_never_change() -> None:
    """Else shards of two releases would not be one whole."""
    assert hash_name("a/b.jpg") == 0x67ED673B4D9FCCAE  # printf a/b.jpg | b2sum -l 64
    assert hash_name("\udcff") == 0xA72EEED9830CBF91


def test_shards_are_of_about_the_same_size() -> None:
    counts = [sum(Shard(index, 4).has(f"{n}.jpg") for n in range(4000)) for index in range(1, 5)]
    assert sum(counts) == 4000
    assert min(counts) > 900
