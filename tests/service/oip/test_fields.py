"""service.oip.fields: members by name and exact type."""

from typing import Any

import pytest

from service.messages.problems import Problem
from service.oip.fields import find, take, take_all


def test_a_member_of_the_right_type() -> None:
    content = {"text": "a", "number": 3, "flag": False, "list": [1], "object": {}}
    assert find(content, "text", str) == "a"
    assert find(content, "flag", bool) is False
    assert take(content, "number", int) == 3
    assert take(content, "object", dict) == {}
    assert take_all(content, "list", int) == [1]


@pytest.mark.parametrize("content", [{}, {"x": None}])
def test_a_member_that_is_not_there(content: dict[str, Any]) -> None:
    assert find(content, "x", str) is None
    assert take_all(content, "x", str) == []
    with pytest.raises(Problem, match=r"a text in inputs\[0\]\.x; found none"):
        take(content, "x", str, "inputs[0].")


@pytest.mark.parametrize(
    ("value", "kind"),
    [(True, int), (1, bool), (1.0, int), ("1", int), ([], dict), ({}, list), (1, str)],
)
def test_other_types_are_refused_unquoted(value: object, kind: type) -> None:
    with pytest.raises(Problem, match="found something else"):
        find({"x": value}, "x", kind)


@pytest.mark.parametrize("values", [[1, "a"], [True], [None], [[1]]])
def test_elements_have_the_type_too(values: list[Any]) -> None:
    with pytest.raises(Problem, match="each element a whole number"):
        take_all({"x": values}, "x", int)
