"""service.classification.warm_up: what runs before the first request, and how a unit's size is
found.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import ImageLimits, InvalidInput, load_engine
from service.classification.classifier import Classifier
from service.classification.predictor import Predictor
from service.classification.warm_up import UNITS, warm_up
from tests.runtime.bundles import make_bundle, make_images


def make_classifier(engine: Any) -> Classifier:
    """Around an engine."""
    return Classifier(engine, ImageLimits())


def test_everything_runs_once_with_one_thread_and_with_all(make_engine: Any) -> None:
    engine, predictor = make_engine(), Predictor()
    before = predictor.predict(100_000)
    found = warm_up(make_classifier(engine), 3, predictor)
    assert {(1, 1), (1, 3)} <= set(engine.asked)
    assert found.unit in (1, *UNITS)
    assert predictor.predict(100_000) != before


def test_the_parts_of_a_bundle_must_fit(make_engine: Any) -> None:
    classifier = make_classifier(make_engine(labels=("a", "b")))
    with pytest.raises(InvalidInput, match="each of 2 labels; the network answers \\[3\\]"):
        warm_up(classifier, 1, Predictor())


def test_networks_whose_scores_are_no_numbers_are_not_served(make_engine: Any) -> None:
    class Poisoned(make_engine):
        def predict(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
            return np.full_like(super().predict(images, threads), np.nan)

    with pytest.raises(ArithmeticError, match="finite"):
        warm_up(make_classifier(Poisoned()), 1, Predictor())


class Timed(Classifier):
    """A classifier whose inference takes as long as the test says, by the number of images."""

    def __init__(self, engine: Any, seconds: Callable[[int], float]) -> None:
        super().__init__(engine, ImageLimits())
        self._seconds = seconds

    def infer(self, tensors: Any, threads: int) -> tuple[Any, float]:
        return super().infer(tensors, threads)[0], self._seconds(len(tensors))


@pytest.mark.parametrize(
    ("seconds", "unit"),
    [
        (lambda images: 0.001, 8),
        (lambda images: 0.001 * images, 1),
        (lambda images: 0.00098 * images if images > 1 else 0.001, 1),  # 2 % are not worth it
        (lambda images: 0.0005 * images + 0.0005, 8),
        (lambda images: 0.001 + 0.0003 * images**2, 2),
        (lambda images: 0.001 * images**2, 1),
    ],
)
def test_images_are_computed_together_where_that_is_faster(
    make_engine: Any, seconds: Callable[[int], float], unit: int
) -> None:
    found = warm_up(Timed(make_engine(), seconds), 1, Predictor())
    assert found.unit == unit
    for images, gain in found.gains.items():
        assert gain == pytest.approx(images * seconds(1) / seconds(images))


def test_a_slow_network_is_not_measured_for_long(make_engine: Any) -> None:
    engine = make_engine()
    found = warm_up(Timed(engine, lambda images: 0.05), 1, Predictor())
    assert (found.unit, found.gains) == (1, {})
    assert all(images == 1 for images, _ in engine.asked)


@pytest.mark.parametrize(("alone", "unit"), [(0.006, 8), (0.011, 8), (0.018, 4)])
def test_of_a_slow_network_one_unit_is_measured(make_engine: Any, alone: float, unit: int) -> None:
    found = warm_up(Timed(make_engine(), lambda images: alone * images**0.9), 1, Predictor())
    assert found.unit == unit
    assert list(found.gains) == ([2, 4, 8] if alone < 0.01 else [unit])


def test_the_kernel_library_computes_images_together_if_that_was_faster(tmp_path: Path) -> None:
    engine = load_engine(make_bundle(tmp_path / "bundle", graphs=False), "native", 1)
    found = warm_up(make_classifier(engine), 1, Predictor())
    best = max(found.gains, key=lambda unit: found.gains[unit], default=1)
    assert found.unit == (best if found.gains.get(best, 0) >= 1.05 else 1)
    images = make_images(engine.bundle.manifest.plan, max(UNITS))
    alone = np.concatenate([engine.predict(image[np.newaxis]) for image in images])
    assert engine.predict(images[: found.unit]).tobytes() == alone[: found.unit].tobytes()
