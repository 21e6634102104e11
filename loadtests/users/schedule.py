"""An open loop under gevent: calls at intended times, without waiting for earlier calls."""

from collections.abc import Callable, Iterable
from time import perf_counter

import gevent
from gevent.pool import Group


def run_schedule(
    times: Iterable[float], fire: Callable[[float], object], group: Group, began: float
) -> None:
    """Calls `fire` in a greenlet of its own at each time; returns after the last was begun.

    Times are seconds after `began`, in order; `fire` is given the moment at which it was due. Both
    are of `perf_counter`. A late call is begun at once, and keeps its due moment.
    """
    for moment in times:
        due = began + moment
        gevent.sleep(max(due - perf_counter(), 0.0))  # even when late: answers are read in time
        group.spawn(fire, due)


def start_clock() -> None:
    """Tells gevent what time it is, after work that kept its loop from running.

    A timer of `gevent.spawn_later`, as Locust has for -t, counts from when the loop last looked at
    the clock: what had been prepared in the meantime would be taken off the length of the test.
    """
    gevent.get_hub().loop.update_now()
