"""Rules about the kinds of photos, with weights, and the truth of a rule for each choice of kinds.

A rule says: for all photos for which its evidence holds, `body => head`, each a conjunction of
statements about kinds. Without `=>` it says `head`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Unit = Literal["photo", "session", "burst"]


@dataclass(frozen=True)
class Term:
    """What has a kind: the photo that a variable stands for, or its session or burst."""

    unit: Unit
    variable: str


@dataclass(frozen=True)
class Statement:
    """The kind of `term` is (or, negated, is not) one of `kinds`, or the kind of `other`."""

    term: Term
    kinds: frozenset[int]
    other: Term | None = None
    negated: bool = False

    def terms(self) -> tuple[Term, ...]:
        return (self.term,) if self.other is None else (self.term, self.other)


@dataclass(frozen=True)
class Evidence:
    """near, same_session, place of two photos, camera, folder of one; value: seconds, metres, or a
    text in which * stands for anything.
    """

    name: str
    variables: tuple[str, ...]
    value: float | str | None = None
    negated: bool = False


@dataclass(frozen=True)
class Rule:
    """weight: how much likelier, as a logarithm, an album is for each time that the rule holds;
    infinite: it always holds. line, column: where the weight stands in the file, from 1.
    """

    weight: float
    evidence: tuple[Evidence, ...]
    body: tuple[Statement, ...]
    head: tuple[Statement, ...]
    text: str
    line: int
    column: int = 1

    @property
    def hard(self) -> bool:
        return math.isinf(self.weight)

    def terms(self) -> tuple[Term, ...]:
        """One or two, in the order in which they are named."""
        return tuple(dict.fromkeys(t for s in (*self.body, *self.head) for t in s.terms()))

    def variables(self) -> tuple[str, ...]:
        """Of photos, one or two."""
        named = [v for e in self.evidence for v in e.variables]
        return tuple(dict.fromkeys([*named, *(t.variable for t in self.terms())]))

    def holds(self, kinds: int) -> NDArray[np.bool_]:
        """Whether it holds, [kinds] or [kinds, kinds], by the kinds of its terms."""
        terms = self.terms()
        axes = dict(zip(terms, np.indices((kinds,) * len(terms)), strict=True))
        head = _all(self.head, axes)
        return head if not self.body else ~_all(self.body, axes) | head

    def weigh(self, holds: NDArray[np.bool_]) -> NDArray[np.float64]:
        """What it adds to the logarithm of a probability where it holds, and where not."""
        values = np.where(holds, 0.0, -np.inf) if self.hard else self.weight * holds
        return np.asarray(values, np.float64)


def _all(
    statements: tuple[Statement, ...], axes: dict[Term, NDArray[np.int64]]
) -> NDArray[np.bool_]:
    parts = []
    for statement in statements:
        own = axes[statement.term]
        if statement.other is not None:
            holds = own == axes[statement.other]
        else:
            holds = np.isin(own, list(statement.kinds))
        parts.append(~holds if statement.negated else holds)
    return np.asarray(np.logical_and.reduce(parts), np.bool_)


@dataclass(frozen=True)
class RuleSet:
    """The rules of a file. temperature: by which the bundle's own temperature of scores is
    multiplied. notes: rules that were left out, for people.
    """

    rules: tuple[Rule, ...]
    temperature: float = 1.0
    notes: tuple[str, ...] = ()
