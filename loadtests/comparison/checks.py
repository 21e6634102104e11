"""Cross-checks with the metrics of the service itself, and with another load generator."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.clients.images import EncodedImage
from loadtests.clients.metrics import CPU, Histogram, read_metrics
from loadtests.clients.requests import build_classify
from loadtests.comparison.sides import Side
from loadtests.comparison.turns import Turn, take_closed_turn
from loadtests.comparison.wrk import WrkRun, run_wrk
from loadtests.errors import ServerFault
from loadtests.output.figures import Latencies, measure_latencies
from loadtests.output.report import Check, check_at_most

MAX_CPU_DIFFERENCE = 0.05  # /metrics is read a little before and after
MAX_RATE_DIFFERENCE = 0.1  # between two generators, one after the other
#: Share of the client's mean latency that the service's own clock may not see.
MAX_OUTSIDE = 0.35


@dataclass(frozen=True)
class OwnMetrics:
    """One closed loop as this generator and as the service's own metrics have it."""

    turn: Turn
    cpu_seconds: float
    durations: Histogram

    @property
    def client(self) -> Latencies:
        """Of this generator."""
        return measure_latencies(o.latency for o in self.turn.outcomes)

    @property
    def client_mean_ms(self) -> float:
        """Of this generator."""
        return sum(o.latency for o in self.turn.outcomes) / len(self.turn.outcomes) * 1000

    @property
    def service_mean_ms(self) -> float:
        """Of the service's histogram."""
        return self.durations.sum / self.durations.count * 1000


async def check_metrics(
    side: Side, bodies: Sequence[bytes], clients: int, seconds: float
) -> OwnMetrics:
    """A closed loop between two readings of /metrics. Raises ServerFault."""
    address = str(side.server.address)
    before = await asyncio.to_thread(read_metrics, address)
    turn = await take_closed_turn(side, bodies, clients, seconds, 0)
    after = await asyncio.to_thread(read_metrics, address)
    if before.cpu_seconds is None or after.cpu_seconds is None:
        raise ServerFault(f"expected {CPU} in {address}/metrics, found none")
    return OwnMetrics(
        turn, after.cpu_seconds - before.cpu_seconds, after.durations - before.durations
    )


def judge_metrics(name: str, found: OwnMetrics) -> list[Check]:
    """Checks that the service reports the same requests and CPU time, and no more latency."""
    sent = len(found.turn.outcomes)
    difference = abs(found.cpu_seconds - found.turn.cpu) / found.turn.cpu
    outside = 1 - found.service_mean_ms / found.client_mean_ms
    return [
        Check(
            f"{name}: requests that the service counted",
            f"{found.durations.count:.0f}",
            f"= {sent}",
            found.durations.count == sent,
        ),
        check_at_most(
            f"{name}: CPU time by its own metrics, off by", difference, MAX_CPU_DIFFERENCE
        ),
        Check(
            f"{name}: latency that the service does not see",
            f"{outside:.2f} of the mean",
            f"0 to {MAX_OUTSIDE:g}",
            0 <= outside <= MAX_OUTSIDE,
        ),
    ]


@dataclass(frozen=True)
class OtherGenerator:
    """One image, the same clients: this generator before and after wrk."""

    own: Sequence[Turn]
    wrk: WrkRun

    @property
    def own_rate(self) -> float:
        """Images a second, in the mean of the turns."""
        return sum(turn.rate for turn in self.own) / len(self.own)

    @property
    def own_latencies(self) -> Latencies:
        """Of all turns."""
        return measure_latencies(o.latency for turn in self.own for o in turn.outcomes)


async def check_generator(
    side: Side, image: EncodedImage, clients: int, seconds: float, cpus: Sequence[int]
) -> OtherGenerator:
    """Raises ServerFault."""
    bodies = [build_classify(image, form=False).data]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "image"
        file.write_bytes(image.data)
        first = await take_closed_turn(side, bodies, clients, seconds / 2, 0)
        other = await run_wrk(side.server.address, file, clients, seconds, cpus, Path(folder))
        second = await take_closed_turn(side, bodies, clients, seconds / 2, 0)
    return OtherGenerator((first, second), other)


def judge_generator(name: str, found: OtherGenerator) -> list[Check]:
    """Both generators have about the same rate, and wrk lost nothing."""
    difference = abs(found.wrk.rate / found.own_rate - 1)
    return [
        check_at_most(f"{name}: images/s by wrk, off by", difference, MAX_RATE_DIFFERENCE),
        check_at_most(f"{name}: failures that wrk saw", found.wrk.failed, 0),
    ]
