"""The limit meter: samples of every loop, the best one of an operation."""

from typing import Any

import numpy as np
import pytest

from runtime.bench.limits import LimitMeter, format_limits
from runtime.kernels import library, measuring
from runtime.kernels.measuring import BINARY_MAC, FLOAT_MAC, FULL_ADDER, INT8_MAC, Limit

LOOPS = (
    Limit("slow", BINARY_MAC, 100),
    Limit("fast", BINARY_MAC, 100),
    Limit("fma", FLOAT_MAC, 10),
)
NANOSECONDS = (4.0, 2.0, 1.0)  # of a round


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> LimitMeter:
    """A meter of loops whose rates are known."""

    def measure(index: int, rounds: int, runs: int = 1) -> Any:
        return np.full(runs, NANOSECONDS[index] * rounds)

    monkeypatch.setattr(measuring, "limits", lambda: LOOPS)
    monkeypatch.setattr(measuring, "measure_limit", measure)
    return LimitMeter()


def test_best_loop_of_an_operation_is_the_limit(meter: LimitMeter) -> None:
    assert not meter.has_samples
    meter.sample()
    assert meter.has_samples
    assert meter.best(BINARY_MAC, 5) == pytest.approx(50e9)
    assert meter.best(FLOAT_MAC, 5) == pytest.approx(10e9)


def test_last_samples_count(meter: LimitMeter) -> None:
    meter._rates = [[1.0, 1.0], [5.0, 3.0], [2.0]]
    assert meter.best(BINARY_MAC, 1) == pytest.approx(3e9)
    assert meter.best(BINARY_MAC, 2) == pytest.approx(4e9)


def test_operation_without_a_loop_is_an_error(meter: LimitMeter) -> None:
    with pytest.raises(ValueError, match="expected a sample of a loop for 'float MAC'"):
        meter.best(FLOAT_MAC, 1)
    meter.sample()
    with pytest.raises(ValueError, match="'full adder', found none"):
        meter.best(FULL_ADDER, 1)


def test_loops_are_described(meter: LimitMeter) -> None:
    meter.sample()
    meter.sample()
    entries = meter.describe()
    assert [entry["name"] for entry in entries] == ["slow", "fast", "fma"]
    assert entries[0] == {
        **{"name": "slow", "operation": BINARY_MAC, "samples": 2},
        **{f"{key}_g": pytest.approx(25.0) for key in ("median", "p10", "p90")},
    }
    text = format_limits("avx9", entries)
    assert "limits of avx9" in text
    assert "10.0  G float MAC/s" in text


def test_real_loops_have_rates() -> None:
    meter = LimitMeter()
    meter.sample()
    assert meter.implementation == library.active()
    for operation in (FLOAT_MAC, INT8_MAC, BINARY_MAC, FULL_ADDER):
        assert meter.best(operation, 1) > 0
