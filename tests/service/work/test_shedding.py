"""service.work.shedding: few lines for many refusals, and none of them forgotten."""

import itertools
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.work.shedding import Shedding


class Scene:
    """Counts as the metrics have them, and what the log says of them."""

    def __init__(self) -> None:
        self.counts = {"queue": 0, "deadline": 0}
        self.shedding = Shedding(lambda: dict(self.counts))
        self.lines: list[tuple[float, str, dict[str, Any]]] = []
        self._now = 0.0

    def run(self, second: float, **refused: int) -> None:
        """Another second, with so many refusals."""
        self._now = second
        for reason, count in refused.items():
            self.counts[reason] += count
        self.shedding.update(second)

    def emit(self, record: logging.LogRecord) -> None:
        extra = {name: vars(record).get(name) for name in ("refused", "seconds")}
        self.lines.append((self._now, record.getMessage(), extra))


@pytest.fixture
def scene() -> Any:
    scene = Scene()
    handler = logging.Handler()
    handler.emit = scene.emit  # type: ignore[method-assign]
    logger = logging.getLogger("service.work.shedding")
    logger.addHandler(handler)
    yield scene
    logger.removeHandler(handler)


def test_begin_and_end_are_told(scene: Scene) -> None:
    scene.run(1)
    scene.run(2, queue=3)
    for second in range(3, 12):
        scene.run(second, **({"deadline": 2} if second < 6 else {}))
    assert scene.lines == [
        (2, "requests are refused", {"refused": {"queue": 3}, "seconds": None}),
        (
            10,
            "no requests are refused any more",
            {"refused": {"queue": 3, "deadline": 6}, "seconds": 3},
        ),
    ]
    assert not scene.shedding.is_shedding


def test_what_lasts_is_told_again_with_what_came_since(scene: Scene) -> None:
    for second in range(30):
        scene.run(second, queue=1)
    texts = [(second, text, extra["refused"]) for second, text, extra in scene.lines]
    assert texts == [
        (0, "requests are refused", {"queue": 1}),
        (10, "requests are still refused", {"queue": 10}),
        (20, "requests are still refused", {"queue": 10}),
    ]


def test_a_short_pause_does_not_end_it(scene: Scene) -> None:
    for second in range(40):
        scene.run(second, queue=second % 5 == 0)
    assert [text for _, text, _ in scene.lines].count("requests are refused") == 1
    assert scene.shedding.is_shedding


def test_the_end_of_the_service_ends_it(scene: Scene) -> None:
    scene.run(1, queue=1)
    scene.counts["queue"] += 4  # after the last second
    scene.shedding.close(1.5)
    assert scene.lines[-1][1:] == (
        "no requests are refused any more",
        {"refused": {"queue": 5}, "seconds": 0.5},
    )
    scene.shedding.close(2)
    assert len(scene.lines) == 2


@given(st.lists(st.integers(0, 3), max_size=60))
def test_totals_are_exact_whatever_comes(refused: list[int]) -> None:
    """The lines at the ends add up to all that was refused; lines are at least a second apart."""
    scene = Scene()
    handler = logging.Handler()
    handler.emit = scene.emit  # type: ignore[method-assign]
    logger = logging.getLogger("service.work.shedding")
    logger.addHandler(handler)
    try:
        for second, count in enumerate(refused):
            scene.run(second, queue=count)
        scene.shedding.close(len(refused))
    finally:
        logger.removeHandler(handler)
    ends = [extra["refused"] for _, text, extra in scene.lines if text.startswith("no requests")]
    assert sum(end.get("queue", 0) for end in ends) == sum(refused)
    moments = [second for second, text, _ in scene.lines if not text.startswith("no requests")]
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(moments))
    assert len(scene.lines) <= 2 + len(refused) / 3
