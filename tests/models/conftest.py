"""What the tests of models share: one thread; for networks this small a second one only waits."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.models.recorded_runs import write_runs


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Folders of finished runs of every kind, and latencies."""
    return write_runs(tmp_path / "runs")
