"""A progress bar of one epoch that says when the whole training will be done.

The remaining time is estimated from the mean time of the last steps and from the time of the last
measurement of the validation split. Before the first measurement, an image is assumed to take a
third of the time of a training image: forward without backward.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from tqdm import tqdm

WINDOW = 100  # steps


def format_seconds(seconds: float) -> str:
    """H:MM:SS, or M:SS below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class RemainingTime:
    """Estimates the rest of a run from the times of its steps and measurements."""

    def __init__(
        self,
        batch: int,
        measured_images: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._batch, self._images, self._clock = batch, measured_images, clock
        self._steps: deque[float] = deque(maxlen=WINDOW)
        self._last: float | None = None
        self._measurement: float | None = None

    def start(self) -> None:
        """Steps begin, or continue after something else."""
        self._last = self._clock()

    def step_done(self) -> None:
        now = self._clock()
        if self._last is not None:
            self._steps.append(now - self._last)
        self._last = now

    def measurement_done(self, seconds: float) -> None:
        self._measurement = seconds

    @property
    def seconds_per_step(self) -> float | None:
        """Without the slowest of the last steps: the first one may have compiled the network."""
        if len(self._steps) < 2:
            return None
        return (sum(self._steps) - max(self._steps)) / (len(self._steps) - 1)

    def remaining(self, steps: int, measurements: int) -> float | None:
        """Seconds for so many more steps and measurements; None before two steps are done."""
        step = self.seconds_per_step
        if step is None:
            return None
        guess = step / self._batch * self._images / 3
        measurement = guess if self._measurement is None else self._measurement
        return steps * step + measurements * measurement


class EpochBar:
    """The bar of one epoch: step by step, with loss, images per second and time to the end."""

    def __init__(self, title: str, steps: int, done: int, time_left: RemainingTime, shown: bool):
        self._time = time_left
        self._bar = tqdm(
            total=steps,
            initial=done,
            desc=title,
            disable=None if shown else True,
            unit="batch",
            mininterval=1,
            bar_format="{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}{postfix}",
        )

    def __enter__(self) -> EpochBar:
        self._time.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def step(self, loss: float | None, batch: int, steps_left: int, measurements: int) -> None:
        """One more step is done; `loss` if it was looked at."""
        self._time.step_done()
        if not self._bar.disable:
            step = self._time.seconds_per_step
            if loss is not None and step:
                left = self._time.remaining(steps_left, measurements)
                self._bar.set_postfix_str(
                    f"loss {loss:.3f}, {batch / step:.0f} img/s, done in "
                    f"{format_seconds(left or 0)}",
                    refresh=False,
                )
            self._bar.update()
