"""What tests ask of a Prometheus query: which metrics it reads, and what it compares."""

from collections.abc import Iterator
from typing import Any

import promql_parser

_COMPARISONS = {">", "<", ">=", "<=", "==", "!="}
_SETS = {"and", "or", "unless"}


def list_metrics(query: str) -> set[str]:
    """The names of the metrics that a query reads. Raises ValueError if it can't be parsed."""
    names: set[str] = set()

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name is not None, f"a selector without a name: {query}"
            names.add(node.name)

    promql_parser.walk(promql_parser.parse(query), pre_visit=visit)
    return names


def list_operands(query: str) -> list[str]:
    """What a condition compares or combines: each is to have data, whether it holds or not.

    `a / b > 0.5 and on (x) c` has a / b and c; `absent(a)` has a.
    """
    return [str(node) for node in _find_operands(promql_parser.parse(query))]


def _find_operands(node: Any) -> Iterator[Any]:
    if isinstance(node, promql_parser.ParenExpr):
        yield from _find_operands(node.expr)
    elif isinstance(node, promql_parser.BinaryExpr) and str(node.op) in _COMPARISONS | _SETS:
        yield from _find_operands(node.lhs)
        yield from _find_operands(node.rhs)
    elif isinstance(node, promql_parser.Call) and node.func.name == "absent":
        yield from node.args
    elif not isinstance(node, promql_parser.NumberLiteral):
        yield node
