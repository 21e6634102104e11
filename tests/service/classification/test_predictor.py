"""service.classification.predictor: what is learned of one size serves those about as large."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.classification.predictor import Predictor


def test_before_anything_is_known_there_is_a_guess() -> None:
    assert 0 < Predictor().predict(50_000) < 1


def test_the_first_measurement_is_believed() -> None:
    predictor = Predictor()
    predictor.learn(40_000, 0.5)
    assert predictor.predict(40_000) == 0.5
    assert predictor.predict(33_000) == 0.5


def test_later_ones_move_it_little_by_little() -> None:
    predictor = Predictor()
    predictor.learn(1000, 1.0)
    predictor.learn(1000, 2.0)
    assert 1.0 < predictor.predict(1000) < 1.5
    for _ in range(50):
        predictor.learn(1000, 2.0)
    assert predictor.predict(1000) == pytest.approx(2.0, rel=0.01)


def test_sizes_of_other_classes_keep_their_own() -> None:
    predictor = Predictor()
    predictor.learn(1000, 0.001)
    predictor.learn(10**6, 0.1)
    assert predictor.predict(1000) == 0.001
    assert predictor.predict(10**6) == 0.1


def test_an_unknown_size_goes_by_its_nearest_neighbour() -> None:
    predictor = Predictor()
    predictor.learn(2**16, 0.01)
    assert predictor.predict(2**20) == pytest.approx(0.16)  # sixteen times the bytes
    assert predictor.predict(10) == 0.01  # a small one may be as much work: nothing says less
    predictor.learn(2**21, 0.5)
    assert predictor.predict(2**20) == 0.5


@given(
    learned=st.lists(st.tuples(st.integers(0, 2**40), st.floats(0, 100)), min_size=1),
    size=st.integers(0, 2**40),
)
def test_predictions_lie_among_what_was_learned(
    learned: list[tuple[int, float]], size: int
) -> None:
    predictor = Predictor()
    for known, seconds in learned:
        predictor.learn(known, seconds)
    least, most = (choose(seconds for _, seconds in learned) for choose in (min, max))
    smallest = min(known.bit_length() for known, _ in learned)
    found = predictor.predict(size)
    assert least * (1 - 1e-9) <= found
    assert found <= most * (1 + 1e-9) * 2.0 ** max(0, size.bit_length() - smallest)
    if any(known.bit_length() == size.bit_length() for known, _ in learned):
        assert found <= most * (1 + 1e-9)


def test_one_may_know_what_another_one_knows() -> None:
    old, new = Predictor(), Predictor()
    old.learn(100, 5.0)
    new.learn(2**20, 1.0)
    old.take_over(new)
    assert old.predict(2**20) == 1.0
    assert old.predict(100) == 1.0, "what it knew is forgotten"
    old.learn(2**20, 2.0)
    assert new.predict(2**20) == 1.0, "they share nothing"


def test_threads_may_share_it() -> None:
    predictor = Predictor()

    def work(seed: int) -> None:
        for number in range(500):
            predictor.learn(2 ** ((seed + number) % 30), 0.25)
            assert predictor.predict(number) > 0

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert predictor.predict(2**12) == pytest.approx(0.25)
