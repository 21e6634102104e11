"""models.records.typed_json: every field of its type, none besides, and the way back."""

import json
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from models.errors import DataError, RecipeError
from models.records.typed_json import Finite, OptionalFinite, as_json, fields_of, parse_json
from runtime import Preprocessing


@dataclass(frozen=True)
class Inner:
    number: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outer:
    since: Annotated[Inner, Field(alias="from")]
    share: Finite
    maybe: OptionalFinite = None
    changes: dict[str, bool | int | float | str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Derived(Outer):
    more: bool = True


def parse(text: str, kind: Any = Outer) -> Any:
    return parse_json(kind, text, where="a.json", expected="an outer", remedy="Give another.")


def test_values_come_and_go() -> None:
    text = '{"from": {"number": 3, "names": ["a"]}, "share": 1, "changes": {"b": true, "n": 1}}'
    value = parse(text)
    assert value == Outer(since=Inner(3, ("a",)), share=1.0, changes={"b": True, "n": 1})
    assert as_json(value) == {
        "from": {"number": 3, "names": ["a"]},
        "share": 1.0,
        "changes": {"b": True, "n": 1},
    }, "what is None is left out where the field says so"


@given(
    st.builds(
        Outer,
        since=st.builds(Inner, st.integers(-(2**60), 2**60), st.tuples(st.text())),
        share=st.floats(allow_nan=False, allow_infinity=False),
        maybe=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        changes=st.dictionaries(st.text(), st.booleans() | st.integers(-9, 9) | st.text()),
    )
)
def test_whatever_is_written_is_read(value: Outer) -> None:
    assert parse(json.dumps(as_json(value))) == value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "Invalid JSON"),
        ("3", "should be an object, found 3"),
        ('{"share": 1}', "it lacks from"),
        ('{"from": {}, "share": 1}', "it lacks from.number"),
        ('{"from": {"number": 1, "x": 2}, "share": 1}', "this version does not know from.x"),
        ('{"from": {"number": "1"}, "share": 1}', "from.number should be a valid integer, found 1"),
        ('{"from": {"number": 1.5}, "share": 1}', "from.number should be a valid integer, found 1"),
        ('{"from": {"number": 1}, "share": NaN}', "share should be a finite number, found nan"),
        ('{"from": {"number": true}, "share": 1}', "from.number should be a valid integer"),
        ('{"share": "x", "y": 1}', "it lacks from; this version does not know y; share should be"),
    ],
)
def test_what_does_not_fit_is_named(text: str, found: str) -> None:
    with pytest.raises(DataError) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith("a.json: expected an outer; ")
    assert found in message
    assert message.endswith(". Give another.")


def test_the_fault_is_the_callers() -> None:
    with pytest.raises(RecipeError, match=r"b: expected c; it lacks number\. d"):
        parse_json(Inner, "{}", where="b", expected="c", remedy="d", fault=RecipeError)


def test_what_the_runtime_refuses_is_refused() -> None:
    text = '{"resize": 3, "crop": 5, "interpolation": "area", "mean": [0,0,0], "std": [1,1,1]}'
    with pytest.raises(DataError, match=r"expected an outer; .*crop: expected at most resize, 3"):
        parse(text, Preprocessing)


def test_fields_are_those_of_the_base() -> None:
    value = Derived(since=Inner(1), share=0.5)
    assert Outer(**fields_of(Outer, value)) == Outer(since=Inner(1), share=0.5)
