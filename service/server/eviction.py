"""Chooses the connection that is closed to make room for a new one: the longest silent one."""

import contextlib
import heapq
import socket
from collections.abc import Callable, Iterable
from time import monotonic

from service.messages.problems import Problem
from service.server.protocol import BoundedProtocol

STALL_SECONDS = 1.0  # without a byte, after which a client makes room for others
ASK_SECONDS = 0.25  # in which a connection sends its next request, if it has one

Candidate = tuple[float, float, int, BoundedProtocol]  # may go from, silent since, a tie-breaker


class Eviction:
    """Ends connections on which nothing happens: between requests, or in the middle of a body.

    Each connection may be silent for some time. Of those that are silent for longer, the longest
    silent one is ended first. Connections that wait for our answer are never chosen, nor those
    whose bytes have arrived and wait for the busy event loop: closing them would lose a request.

    One list of candidates serves many calls: when many clients stall there are hundreds of calls
    per second, and hundreds of connections to look through.
    """

    def __init__(self, list_connections: Callable[[], Iterable[BoundedProtocol]]) -> None:
        self._list_connections = list_connections
        self._candidates: list[Candidate] = []

    def evict(self, is_urgent: bool = False) -> BoundedProtocol | None:
        """Ends a connection and returns it; None if no connection may be ended.

        If it is urgent, any connection whose bytes do not flow may be chosen, and it is closed at
        once.
        """
        now = monotonic()
        chosen = self._choose(now, is_urgent)
        if chosen is None:
            self._candidates = list(filter(None, map(_judge, self._list_connections())))
            heapq.heapify(self._candidates)
            chosen = self._choose(now, is_urgent)
        if chosen is None:
            return None
        is_stalled = chosen.is_working
        if is_stalled:
            chosen.end_with(
                Problem("body_timeout", "expected steady progress; others wait for the connection.")
            )
        if is_urgent or not is_stalled:  # else it is read to its end: the client gets the answer
            _cut_off(chosen)
        return chosen

    def _choose(self, now: float, is_urgent: bool) -> BoundedProtocol | None:
        while self._candidates and (is_urgent or self._candidates[0][0] <= now):
            candidate = heapq.heappop(self._candidates)
            _, since, _, connection = candidate
            if _judge(connection) != candidate:  # something has happened since it was listed
                continue
            if connection.is_working and since + ASK_SECONDS > now:  # its body flows
                continue
            if not connection.has_unread:
                return connection
        return None


def _cut_off(connection: BoundedProtocol) -> None:
    """Ends it at once: a transport alone would close the socket after other events only."""
    with contextlib.suppress(OSError):  # the client has left
        connection.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
    connection.transport.abort()


def _judge(connection: BoundedProtocol) -> Candidate | None:
    """The time from which the connection may be ended; None while it waits for our answer."""
    if connection.is_gone:
        return None
    if not connection.is_working:
        since: float | None = connection.idle_since
        allowed = ASK_SECONDS
    else:
        since, allowed = connection.stalled_since, STALL_SECONDS
    return None if since is None else (since + allowed, since, id(connection), connection)
