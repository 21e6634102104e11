"""Figures that a command prints: lines for people at a terminal, JSON for programs elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping

from tqdm import tqdm


def print_figures(figures: Mapping[str, object], indent: int | None = None) -> None:
    """Prints them on the standard output; `indent` is that of the JSON."""
    if sys.stdout.isatty():
        print(format_figures(figures))
    else:
        print(json.dumps(figures, indent=indent))


def format_figures(figures: Mapping[str, object]) -> str:
    """A line for each figure, inner ones below their outer one; null ones are left out."""
    rows = list(_flatten(figures, 0))
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name:<{width}}  {value}".rstrip() for name, value in rows)


def tell_figures(figures: Mapping[str, object]) -> None:
    """Prints one line of them, above any progress bar."""
    at_terminal = sys.stdout.isatty()
    tqdm.write(format_line(figures) if at_terminal else json.dumps(figures), file=sys.stdout)


def format_line(figures: Mapping[str, object]) -> str:
    """All of them in one line for people; null ones are left out."""
    rows = ((name.strip(), value) for name, value in _flatten(figures, 0))
    return ", ".join(f"{name} {value}" if value else f"{name}:" for name, value in rows)


def _flatten(figures: Mapping[str, object], depth: int) -> Iterator[tuple[str, str]]:
    for key, value in figures.items():
        name = "  " * depth + key.replace("_", " ")
        if isinstance(value, Mapping):
            yield name, ""
            yield from _flatten(value, depth + 1)
        elif value is not None:
            yield name, _format(value)


def _format(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.1f}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_format, value))
    return str(value)
