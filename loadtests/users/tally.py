"""The outcomes of a test's requests: exact times, refusals and failures, by stage."""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from loadtests.output.figures import measure_latencies, to_json


def _make_array() -> "array[float]":
    return array("d")


@dataclass
class Tally:
    """Seconds of each request, and counts. Latencies are those of answers with status 200."""

    latency: "array[float]" = field(default_factory=_make_array)  # from when it was due
    service: "array[float]" = field(default_factory=_make_array)  # from when it was sent
    lag: "array[float]" = field(default_factory=_make_array)  # sent later than due; open loop
    refused: Counter[str] = field(default_factory=Counter)  # 429 or 503 with Retry-After
    failed: Counter[str] = field(default_factory=Counter)
    unsent: Counter[str] = field(default_factory=Counter)  # this machine could not send them
    cut: "array[float]" = field(default_factory=_make_array)  # age when the test was stopped
    cpu: float = 0.0  # seconds of the generator's CPU time
    wall: float = 0.0  # of how many seconds that passed, of each process

    @property
    def accepted(self) -> int:
        """Answers with status 200."""
        return len(self.latency)

    def count_hanging(self, max_ms: float | None) -> int:
        """Requests that were cut when they had waited for longer than the slowest accepted one and
        a second; for longer than `max_ms` where that is given. Others were merely on their way.
        """
        limit = max(1.0, *self.latency) if self.latency else 1.0
        if max_ms is not None:
            limit = max_ms / 1000
        return sum(1 for age in self.cut if age > limit)

    @property
    def total(self) -> int:
        """Requests that are over: accepted, refused and failed ones."""
        return self.accepted + self.refused.total() + self.failed.total()

    @property
    def cpu_share(self) -> float:
        """Of one CPU, of each process of the generator."""
        return self.cpu / self.wall if self.wall else 0.0

    def share(self, counts: Counter[str]) -> float:
        """Percent of all requests that are over; 0 where there are none."""
        return 100 * counts.total() / self.total if self.total else 0.0

    def count_late(self, seconds: float) -> float:
        """Percent of the sent requests that were sent later than this after they were due."""
        late = sum(1 for lag in self.lag if lag > seconds)
        return 100 * late / len(self.lag) if self.lag else 0.0

    def add(self, other: "Tally") -> None:
        """Takes in what another one has."""
        for name in ("latency", "service", "lag", "cut"):
            getattr(self, name).extend(getattr(other, name))
        for name in ("refused", "failed", "unsent"):
            getattr(self, name).update(getattr(other, name))
        self.cpu += other.cpu
        self.wall += other.wall

    def clear(self) -> None:
        """Forgets everything: the warm-up is over."""
        self.__init__()  # type: ignore[misc] # all its fields have defaults

    def hand_over(self) -> dict[str, Any]:
        """All of it as plain values, for another process; it is empty afterwards."""
        plain = {
            **{n: getattr(self, n).tolist() for n in ("latency", "service", "lag", "cut")},
            **{name: dict(getattr(self, name)) for name in ("refused", "failed", "unsent")},
            **{"cpu": self.cpu, "wall": self.wall},
        }
        self.clear()
        return plain

    @classmethod
    def take_over(cls, plain: Mapping[str, Any]) -> "Tally":
        """What `hand_over` gave."""
        return cls(
            latency=array("d", plain["latency"]),
            service=array("d", plain["service"]),
            lag=array("d", plain["lag"]),
            refused=Counter(plain["refused"]),
            failed=Counter(plain["failed"]),
            unsent=Counter(plain["unsent"]),
            cut=array("d", plain["cut"]),
            cpu=plain["cpu"],
            wall=plain["wall"],
        )

    def as_json(self) -> dict[str, Any]:
        """Counts and percentiles."""
        return {
            "latency": dict(to_json(measure_latencies(self.latency))),
            "service": dict(to_json(measure_latencies(self.service))),
            "lag": dict(to_json(measure_latencies(self.lag))),
            **{name: dict(getattr(self, name)) for name in ("refused", "failed", "unsent")},
            "cut": len(self.cut),
            "generator_cpu_share": round(self.cpu_share, 4),
        }


def add_up(tallies: Iterable[Tally]) -> Tally:
    """All of them as one."""
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total
