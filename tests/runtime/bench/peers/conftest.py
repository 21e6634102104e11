"""The interpreter of a peer that several tests run."""

from pathlib import Path

import pytest


@pytest.fixture
def litert(repository: Path) -> str:
    """The interpreter that `make bench-peers` made; skips where there is none."""
    path = repository / ".venv-litert" / "bin" / "python"
    if not path.is_file():
        pytest.skip("LiteRT is not installed: make bench-peers")
    return str(path)
