"""service.repository.catalogue: models by name, and the default one."""

import pytest

from runtime import ImageLimits
from service.messages.problems import Problem
from service.repository.catalogue import Catalogue
from tests.service.conftest import make_served


def check_started() -> None:
    raise Problem("not_ready", "")


@pytest.fixture
def catalogue() -> Catalogue:
    """Of the default model "tiny" and two others."""
    made = Catalogue(check_started)
    made.put(make_served(), is_default=True)
    made.put(make_served("zebras"))
    made.put(make_served("ants"))
    return made


def test_the_default_one_is_first_then_they_go_by_name(catalogue: Catalogue) -> None:
    assert [model.name for model in catalogue.list()] == ["tiny", "ants", "zebras"]
    assert catalogue.names == {"tiny", "ants", "zebras"}
    assert catalogue.served == 3


def test_finds_by_name(catalogue: Catalogue) -> None:
    assert catalogue.find(None) is catalogue.default
    assert catalogue.find("ants").name == "ants"
    catalogue._check_started = lambda: None
    with pytest.raises(Problem) as caught:
        catalogue.find("Ants")
    assert caught.value.code == "model_not_found"
    assert "Ants" not in caught.value.detail


@pytest.mark.parametrize(
    ("query", "name"),
    [
        (b"", "tiny"),
        (b"top_k=3", "tiny"),
        (b"model=ants", "ants"),
        (b"top_k=1&model=zebras&explain=cam", "zebras"),
        (b"model=ants&model=zebras", "zebras"),
        (b"model=%61nts", "ants"),
        (b"%6dodel=ants", "ants"),
        (b"remodel=7", "tiny"),
    ],
)
def test_a_query_names_a_model(catalogue: Catalogue, query: bytes, name: str) -> None:
    assert catalogue.choose(query).name == name


@pytest.mark.parametrize("query", [b"model=", b"model=%ff", b"model=nobody", b"model=ants&model="])
def test_a_query_that_names_none(catalogue: Catalogue, query: bytes) -> None:
    catalogue._check_started = lambda: None
    with pytest.raises(Problem, match="model_not_found"):
        catalogue.choose(query)


def test_before_anything_is_loaded() -> None:
    empty = Catalogue(check_started)
    for ask in (
        lambda: empty.default,
        empty.list,
        lambda: empty.find("a"),
        lambda: empty.find(None),
    ):
        with pytest.raises(Problem, match="not_ready"):
            ask()
    assert (empty.served, empty.get("a")) == (0, None)


def test_a_newer_one_takes_the_name_and_ends_the_fault(catalogue: Catalogue) -> None:
    catalogue.faults["ants"] = "why"
    newer = make_served("ants")
    catalogue.put(newer)
    assert catalogue.find("ants") is newer
    assert (catalogue.faults, catalogue.served) == ({}, 3)
    newest = make_served()
    catalogue.put(newest)  # of the default one's name
    assert catalogue.default is newest


def test_a_default_one_of_another_name_leaves_no_old_one(catalogue: Catalogue) -> None:
    catalogue.put(make_served("bees"), is_default=True)
    assert [model.name for model in catalogue.list()] == ["bees", "ants", "zebras"]


def test_the_default_one_cannot_be_removed(catalogue: Catalogue) -> None:
    assert catalogue.remove("ants").name == "ants"
    assert catalogue.names == {"tiny", "zebras"}
    with pytest.raises(AssertionError):
        catalogue.remove("tiny")


def test_limits_hold_for_all_of_them(catalogue: Catalogue) -> None:
    before = {model.name: model for model in catalogue.list()}
    catalogue.limit(ImageLimits())
    assert {model.name: model for model in catalogue.list()} == before, "they are the same"
    catalogue.limit(ImageLimits(max_pixels=999))
    assert {model.classifier.limits.max_pixels for model in catalogue.list()} == {999}
    assert [model.name for model in catalogue.list()] == ["tiny", "ants", "zebras"]
    assert catalogue.default.engine is before["tiny"].engine


def test_nothing_is_left_of_it(catalogue: Catalogue) -> None:
    catalogue.clear()
    with pytest.raises(Problem, match="not_ready"):
        _ = catalogue.default
    assert catalogue.served == 0


def test_a_fault_of_the_default_one_ends_with_its_name(catalogue: Catalogue) -> None:
    catalogue.faults = {"tiny": "broken", "cats": "broken"}
    catalogue.put(make_served("other"), is_default=True)
    assert catalogue.faults == {"cats": "broken"}
