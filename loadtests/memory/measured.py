"""What was found of a server's memory: idle, by parts, and its peak under each load."""

from dataclasses import dataclass, field

from loadtests.memory.sides import Side
from loadtests.servers.processes import Usage
from loadtests.servers.smaps import Memory
from loadtests.servers.steps import Breakdown


@dataclass
class Load:
    """A closed loop of so many clients: the peak so far at the end of each slice, images/s."""

    clients: int
    peaks: list[int] = field(default_factory=list)
    answers: int = 0
    seconds: float = 0.0

    @property
    def peak(self) -> int:
        """Bytes."""
        return self.peaks[-1]

    def is_level(self, growth: float) -> bool:
        """Whether the last two slices have raised the peak by no more than this share."""
        return len(self.peaks) > 2 and self.peaks[-1] <= self.peaks[-3] * (1 + growth)


@dataclass
class Measured:
    """What a server was found to take."""

    side: Side
    breakdown: Breakdown | None
    no_model: int
    idle: Memory
    usage: Usage
    heavy: list[str]
    mapped_weights: int
    loads: list[Load] = field(default_factory=list)
    after: int = 0

    @property
    def peak(self) -> int:
        """The highest, bytes."""
        return max(load.peak for load in self.loads)
