"""The parts of the native service's peak: measured step by step, and the rest by difference."""

from dataclasses import dataclass

from loadtests.memory.measured import Measured
from loadtests.servers.smaps import Memory

RUNNING, DECODING, REQUESTS = (
    "running service: event loop, warm-up, threads, allocator",
    "decoding of one image, the largest",
    "requests: bodies, connections, free memory between",
)


@dataclass(frozen=True)
class PartOfPeak:
    """A part of the peak: RSS, and of it what is written and what is pages of files."""

    name: str
    rss: int
    memory: Memory | None = None  # None: it comes and goes, and is known by its size alone


def list_parts(found: Measured) -> list[PartOfPeak]:
    """The parts of the service's peak, which add up to it; needs its breakdown.

    What has been measured step by step comes first. The rest is by difference: of the idle process
    to the steps, of the peak to the idle process and the largest decoding.
    """
    assert found.breakdown is not None
    total, idle = found.breakdown.total, found.idle
    parts = [PartOfPeak(step.name, step.added.rss, step.added) for step in found.breakdown.steps]
    parts.append(PartOfPeak(RUNNING, idle.rss - total.rss, idle - total))
    load = found.peak - idle.rss
    decoding = min(load, max(found.breakdown.decoding.values(), default=0))
    parts.append(PartOfPeak(DECODING, decoding))
    parts.append(PartOfPeak(REQUESTS, load - decoding))
    return parts
