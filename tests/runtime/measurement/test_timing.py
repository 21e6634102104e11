"""Turns, warm runs, contestants that fail on the way, summaries."""

import pytest

from runtime.errors import RuntimeFault
from runtime.measurement import timing
from runtime.measurement.timing import LONG, RUNS_PER_TURN, Timer, summarize, take_turns, time_calls


def silent(text: str) -> None:
    assert text


def test_contestants_take_turns_and_start_warm() -> None:
    calls: list[str] = []
    timers = {name: time_calls(lambda name=name: calls.append(name)) for name in "ab"}  # type: ignore[misc]
    seconds, failures = take_turns(timers, 2 * RUNS_PER_TURN, silent)
    turn = [name for name in "ab" for _ in range(1 + RUNS_PER_TURN)]
    assert calls == 2 * turn
    assert [len(values) for values in seconds.values()] == [2 * RUNS_PER_TURN] * 2
    assert failures == {}


def test_one_that_fails_is_left_out_with_its_reason() -> None:
    turns: list[int] = []

    def fails_in_turn(number: int) -> Timer:
        def run(runs: int) -> list[float]:
            turns.append(number)
            if len(turns) == number:
                raise RuntimeFault("the peer died")
            return [1e-3] * runs

        return run

    timers = {"good": time_calls(lambda: None), "bad": fails_in_turn(2)}
    seconds, failures = take_turns(timers, 3 * RUNS_PER_TURN, silent)
    assert list(seconds) == ["good"]
    assert failures == {"bad": "the peer died"}
    assert len(turns) == 2


def test_long_runs_are_fewer() -> None:
    asked: list[int] = []

    def slow(runs: int) -> list[float]:
        asked.append(runs)
        return [2 * LONG] * runs

    seconds, _ = take_turns({"slow": slow}, 3 * RUNS_PER_TURN, silent)
    assert asked == [RUNS_PER_TURN, 1, 1]
    assert len(seconds["slow"]) == RUNS_PER_TURN + 2


def test_summary_is_in_milliseconds() -> None:
    summary = summarize([0.001 * n for n in range(1, 12)])
    assert summary == pytest.approx(
        {"median_ms": 6.0, "p10_ms": 2.0, "p90_ms": 10.0, "fastest_ms": 1.0, "runs": 11}
    )


def test_module_has_no_clock_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([1.0, 3.0, 10.0, 10.5])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(ticks))
    assert time_calls(lambda: None)(2) == [2.0, 0.5]
