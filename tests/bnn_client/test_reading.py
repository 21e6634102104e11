"""bnn_client.reading: what fits the annotations is read, and nothing else is."""

import contextlib
import copy
import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnn_client.answers import Batch, Classification, Hedged
from bnn_client.reading import UnexpectedContent, read_as
from tests.bnn_client.answers import CLASSIFICATION

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def list_places(content: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each member and element."""
    children: list[tuple[Any, Any]] = []
    if isinstance(content, dict):
        children = list(content.items())
    elif isinstance(content, list):
        children = list(enumerate(content))
    found = [place] if place else []
    return found + [way for key, child in children for way in list_places(child, (*place, key))]


def test_an_answer_is_read_whole_and_what_is_new_is_passed_over() -> None:
    answer = read_as(Classification, CLASSIFICATION | {"new": [1]})
    older = {"known": None, "notice": None, "hedged": None}  # what is there for some alone
    assert json.loads(json.dumps(asdict(answer))) == CLASSIFICATION | older
    assert answer.best.label == "cat"
    assert isinstance(answer.timings_ms.queue, float)


def test_what_a_model_says_of_none_of_these_is_read() -> None:
    given = {"known": 0.03, "notice": "The image probably shows none of the 22 labels."}
    answer = read_as(Classification, CLASSIFICATION | given)
    assert (answer.known, answer.notice) == (0.03, given["notice"])
    with pytest.raises(UnexpectedContent, match=r"expected null as the answer\.known"):
        read_as(Classification, CLASSIFICATION | {"known": "0.03"})


def test_a_hedged_answer_is_read() -> None:
    hedged = {"label": "animal", "phrase": "an animal", "score": 0.97, "covers": 13}
    more = {"path": ["living thing"], "certainty": 0.95, "new": 1}
    answer = read_as(Classification, CLASSIFICATION | {"hedged": hedged | more})
    assert answer.hedged == Hedged("animal", "an animal", 0.97, 13, ("living thing",), 0.95)
    of_label = {**hedged, **more, "phrase": None, "path": []}
    answer = read_as(Classification, CLASSIFICATION | {"hedged": of_label})
    assert answer.hedged is not None
    assert (answer.hedged.phrase, answer.hedged.path) == (None, ())
    with pytest.raises(UnexpectedContent, match=r"expected null as the answer\.hedged"):
        read_as(Classification, CLASSIFICATION | {"hedged": {**hedged, "certainty": 1}})


@given(place=st.sampled_from(list_places(CLASSIFICATION)), value=_json)
def test_another_value_is_read_or_is_unexpected_content(place: tuple[Any, ...], value: Any) -> None:
    content = copy.deepcopy(CLASSIFICATION)
    parent = content
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    with contextlib.suppress(UnexpectedContent):  # and nothing else
        assert isinstance(read_as(Classification, content), Classification)


@pytest.mark.parametrize("place", [way for way in list_places(CLASSIFICATION) if way[-1] != 0])
def test_a_missing_member_is_named(place: tuple[Any, ...]) -> None:
    content = copy.deepcopy(CLASSIFICATION)
    parent = content
    for key in place[:-1]:
        parent = parent[key]
    del parent[place[-1]]
    with pytest.raises(UnexpectedContent, match=f"expected '{place[-1]}' in the answer"):
        read_as(Classification, content)


@pytest.mark.parametrize(
    ("place", "value"),
    [("index", True), ("index", 1.5), ("label", 3), ("score", "0.9"), ("score", 10**400)],
)
def test_another_kind_is_refused(place: str, value: object) -> None:
    content = copy.deepcopy(CLASSIFICATION)
    content["predictions"][0][place] = value
    with pytest.raises(UnexpectedContent, match=rf"as the answer\.predictions\[0\]\.{place};"):
        read_as(Classification, content)


def test_an_item_of_a_batch_is_an_answer_or_a_problem() -> None:
    problem = {"type": "t", "title": "t", "status": 422, "detail": "d", "code": "invalid_image"}
    item = {key: CLASSIFICATION[key] for key in ("predictions", "image", "timings_ms")}
    content = {
        **{key: CLASSIFICATION[key] for key in ("model", "engine", "timings_ms", "request_id")},
        "results": [{"index": 0, **item}, {"index": 1, "problem": problem}],
    }
    good, bad = read_as(Batch, content).results
    assert (type(good).__name__, type(bad).__name__) == ("BatchItem", "BatchFault")
    with pytest.raises(UnexpectedContent):
        read_as(Batch, content | {"results": [{"index": 0}]})
