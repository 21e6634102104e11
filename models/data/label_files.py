"""Files with the labels of a network: one a line, perhaps with a first one that is no class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.errors import DataError
from runtime.manifest import MAX_TEXT

BACKGROUND = "background"  # a first line of Google's lists, of no class
ONE_A_LINE = "a file with one label a line"


def read_labels(file: Path, counts: Sequence[int]) -> tuple[str, ...]:
    """As many labels as one of `counts`, each printable and of at most MAX_TEXT characters.

    Raises DataError.
    """
    try:
        labels = tuple(line.strip() for line in file.read_text("utf-8").splitlines())
    except OSError as error:
        found = "none" if isinstance(error, FileNotFoundError) else error.strerror
        raise DataError(
            f"{file}: expected {ONE_A_LINE}, found {found}. Name it: --labels FILE"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}: expected text in UTF-8, found {error}. Name another file: --labels FILE"
        ) from error
    if len(labels) not in counts:
        raise DataError(
            f"{file}: expected {' or '.join(map(str, counts))} labels, one a line, as the network "
            f"has outputs; found {len(labels)}. Name the network's own file with --labels FILE; "
            f"where it has no line for the first output, put {BACKGROUND!r} there."
        )
    for number, label in enumerate(labels, 1):
        if not label or not label.isprintable() or len(label) > MAX_TEXT:
            raise DataError(
                f"{file}, line {number}: expected a printable label of at most {MAX_TEXT} "
                f"characters, found {label[:80]!r}. Correct the line."
            )
    return labels
