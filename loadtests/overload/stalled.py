"""Clients that connect, send a head and a part of the body, and then say nothing more."""

from collections import Counter
from time import perf_counter

from loadtests.clients.http_client import Address, Connection, Lost, Request, connect
from loadtests.clients.outcomes import Outcome, read_outcome

#: Open at once; more are not started, but counted. The generator's own descriptors are limited.
MAX_OPEN = 1000


class StalledClients:
    """Starts stalled clients and counts their outcomes."""

    def __init__(self, address: Address, request: Request, give_up: float) -> None:
        self._address, self._give_up = address, give_up
        self._data = request.head + request.body[: max(len(request.body) // 2, 1)]
        self._open: set[Connection] = set()
        self._over = False
        self.outcomes: list[Outcome] = []
        self.counts: Counter[str] = Counter()

    async def stall(self, due: float) -> None:
        """One of them, until it is answered, cut off, or given up. Raises OSError."""
        if len(self._open) >= MAX_OPEN:
            self.counts["not started: too many are open"] += 1
            return
        sent = perf_counter()
        connection: Connection | None = None
        try:
            connection = await connect(self._address, self._give_up)
            self._open.add(connection)
            answer = await connection.wait(connection.begin(self._data), self._give_up)
        except Lost as fault:
            if self._over:
                self.counts["still open at the end"] += 1
                return
            outcome = Outcome(due, sent, perf_counter(), lost=fault.how)
        else:
            outcome = read_outcome(due, sent, answer)
        finally:
            if connection is not None:
                self._open.discard(connection)
                connection.abort()
        self.outcomes.append(outcome)
        self.counts[outcome.label] += 1

    def end(self) -> None:
        """Cuts off all that are still open; to be called when the load is over."""
        self._over = True
        for connection in list(self._open):
            connection.abort()
