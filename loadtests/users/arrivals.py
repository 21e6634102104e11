"""The intended times of an open loop's requests: a Poisson process, or evenly spaced."""

from collections.abc import Iterator

from loadtests.clients.loops import plan_arrivals

ARRIVALS = ("poisson", "constant")


def plan_times(arrivals: str, rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Seconds from 0 on, in order, all below `seconds`: `rate` of them a second.

    `poisson` is what many independent callers do, and the same for the same seed; `constant` has a
    request every 1 / rate seconds. Raises ValueError for a rate that is not above 0.
    """
    if arrivals == "poisson":
        return plan_arrivals(rate, seconds, seed)
    if arrivals != "constant":
        raise ValueError(f"expected arrivals of {' or '.join(ARRIVALS)}, found {arrivals!r}")
    if rate <= 0:
        raise ValueError(f"expected a rate above 0, found {rate}")
    return _plan_evenly(rate, seconds)


def _plan_evenly(rate: float, seconds: float) -> Iterator[float]:
    index = 0
    while index / rate < seconds:
        yield index / rate
        index += 1
