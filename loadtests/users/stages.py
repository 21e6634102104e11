"""The shape of a load over time: stages of so many requests a second, or so many users."""

from collections.abc import Sequence
from dataclasses import dataclass

SHAPES = ("steady", "step", "spike", "soak", "ramp")
STEPS = 5  # up to the whole level
SPIKE_TIMES = 5.0
SOAK_STAGES = 10  # so that a drift shows
SPIKE_SHARES = ((0.4, 1.0), (0.2, SPIKE_TIMES), (0.4, 1.0))  # of the time, of the level


@dataclass(frozen=True)
class Stage:
    """A part of a test: requests a second (open loop) or users (closed loop), for how long."""

    name: str
    level: float
    seconds: float


def plan_stages(shape: str, level: float, seconds: float) -> list[Stage]:
    """The stages of every shape but `ramp`, whose length is found out by going on.

    steady: one stage. step: five, from a fifth of the level up to it. spike: the level, five times
    as much for a fifth of the time, the level again. soak: the level, looked at in ten parts.
    """
    if shape == "steady":
        return [Stage("steady", level, seconds)]
    if shape == "step":
        return [
            Stage(f"step {number}", level * number / STEPS, seconds / STEPS)
            for number in range(1, STEPS + 1)
        ]
    if shape == "spike":
        names = ("before", "spike", "after")
        return [
            Stage(name, level * times, seconds * share)
            for name, (share, times) in zip(names, SPIKE_SHARES, strict=True)
        ]
    if shape == "soak":
        part = seconds / SOAK_STAGES
        return [Stage(f"part {number}", level, part) for number in range(1, SOAK_STAGES + 1)]
    raise ValueError(f"expected a shape of {', '.join(SHAPES[:-1])}; found {shape!r}")


def find_stage(stages: Sequence[Stage], elapsed: float) -> int | None:
    """Which of them it is after `elapsed` seconds; None when all are over."""
    end = 0.0
    for index, stage in enumerate(stages):
        end += stage.seconds
        if elapsed < end:
            return index
    return None


class Ramp:
    """Raises the level from stage to stage until one is too much: the knee is the last that held.

    `whole` keeps levels whole, as numbers of users are. Nothing is raised beyond `max_seconds`.
    """

    def __init__(
        self,
        level: float,
        seconds: float,
        factor: float,
        max_seconds: float = float("inf"),
        whole: bool = False,
    ) -> None:
        if factor <= 1:
            raise ValueError(f"expected a factor above 1, found {factor}")
        self._factor, self._seconds, self._left = factor, seconds, max_seconds
        self._whole, self._number = whole, 1
        self.current: Stage | None = Stage("ramp 1", level, seconds)
        self.knee: float | None = None  # the highest level that held
        self.broken: float | None = None  # the level that did not
        self.reasons: list[str] = []  # why it did not

    def judge(self, reasons: Sequence[str]) -> None:
        """The current stage is over; it held if there are no reasons against it."""
        if self.current is None:
            raise ValueError("expected a stage that runs, found that the ramp is over")
        level, self._left = self.current.level, self._left - self._seconds
        if reasons:
            self.broken, self.reasons, self.current = level, list(reasons), None
            return
        self.knee = level
        if self._left < self._seconds:
            self.current = None
            return
        self._number += 1
        raised = level * self._factor
        if self._whole:
            raised = max(round(raised), level + 1)
        self.current = Stage(f"ramp {self._number}", raised, self._seconds)

    def describe(self, unit: str) -> str:
        """The knee in a sentence."""
        if self.knee is None and self.broken is None:
            return "No stage of the ramp was finished: no knee is known. Give it more time."
        if self.knee is None:
            return (
                f"No knee found: the first stage, {self.broken:.4g} {unit}, was too much already "
                f"({'; '.join(self.reasons)}). Begin lower."
            )
        if self.broken is None:
            return f"The knee is above {self.knee:.4g} {unit}: all stages held. Give it more time."
        return (
            f"The knee: {self.knee:.4g} {unit} held, {self.broken:.4g} did not "
            f"({'; '.join(self.reasons)})."
        )
