"""models.training.progress: the remaining time is made of what was measured."""

import sys

import pytest

from models.training.progress import WINDOW, EpochBar, RemainingTime, format_seconds


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run_steps(estimate: RemainingTime, clock: Clock, times: list[float]) -> None:
    estimate.start()
    for seconds in times:
        clock.now += seconds
        estimate.step_done()


def test_nothing_is_promised_before_two_steps() -> None:
    clock = Clock()
    estimate = RemainingTime(10, 0, clock)
    assert estimate.remaining(5, 0) is None
    run_steps(estimate, clock, [1])
    assert estimate.remaining(5, 0) is None


def test_a_first_step_that_compiles_does_not_count() -> None:
    clock = Clock()
    estimate = RemainingTime(10, 0, clock)
    run_steps(estimate, clock, [60, 2, 2, 2])
    assert estimate.seconds_per_step == 2
    assert estimate.remaining(30, 0) == 60


def test_measurements_count_as_they_took() -> None:
    clock = Clock()
    estimate = RemainingTime(10, 60, clock)
    run_steps(estimate, clock, [3, 3])
    assert estimate.remaining(0, 4) == pytest.approx(4 * 6), "a third of 60 images' training"
    estimate.measurement_done(11)
    assert estimate.remaining(2, 4) == pytest.approx(2 * 3 + 4 * 11)


def test_only_the_last_steps_count() -> None:
    clock = Clock()
    estimate = RemainingTime(1, 0, clock)
    run_steps(estimate, clock, [9.0] * 50 + [1.0] * WINDOW)
    assert estimate.seconds_per_step == 1


def test_time_between_epochs_is_no_step() -> None:
    clock = Clock()
    estimate = RemainingTime(1, 0, clock)
    run_steps(estimate, clock, [1, 1])
    clock.now += 100
    run_steps(estimate, clock, [1, 1])
    assert estimate.seconds_per_step == 1


def test_bar_shows_loss_speed_and_end_at_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    clock = Clock()
    estimate = RemainingTime(8, 0, clock)
    with EpochBar("epoch 1/2", 3, 0, estimate, shown=True) as bar:
        for left in (9, 8, 7):
            clock.now += 2
            bar.step(1.5, 8, left, 0)
    text = capsys.readouterr().err
    assert "epoch 1/2" in text
    assert "loss 1.500, 4 img/s, done in 0:14" in text
    with EpochBar("silent", 3, 0, estimate, shown=False) as bar:
        bar.step(None, 8, 2, 0)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)  # a file: thousands of lines in one
    with EpochBar("epoch 1/2", 3, 0, estimate, shown=True) as bar:
        bar.step(1.5, 8, 2, 0)
    assert capsys.readouterr().err == ""


def test_times_are_written_for_people() -> None:
    assert [format_seconds(s) for s in (5, 65, 3600, 90_061.4)] == [
        "0:05",
        "1:05",
        "1:00:00",
        "25:01:01",
    ]
