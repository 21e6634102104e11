"""Reads the lists of classes and of repositories that data sets are made from."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from models.errors import DataError


def read_toml(path: Path) -> dict[str, Any]:
    """Raises DataError if there is no such file, or it is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: expected a TOML file; found {error}. Correct the file, or its path."
        ) from error
