"""The outcome of each request: its answer or how it was lost, and when it was due."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter

from loadtests.clients.http_client import (
    Address,
    Answer,
    Connection,
    How,
    Lost,
    Pool,
    connect,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request: when it was due, sent and over (`perf_counter` seconds), and its answer."""

    due: float
    sent: float
    ended: float
    status: int = 0  # 0: none
    code: str = ""  # of a problem body
    lost: How | None = None
    retry_after: bool = False

    @property
    def label(self) -> str:
        """As reports count it: `200`, `429 overloaded`, `reset`."""
        return str(self.lost) if self.lost else f"{self.status} {self.code}".strip()

    @property
    def latency(self) -> float:
        """Seconds from the moment it was due: what a caller waits."""
        return self.ended - self.due


def read_outcome(due: float, sent: float, answer: Answer) -> Outcome:
    """The outcome of an answered request."""
    return Outcome(
        due=due,
        sent=sent,
        ended=answer.answered,
        status=answer.status,
        code=read_code(answer),
        retry_after="retry-after" in answer.headers,
    )


def read_code(answer: Answer) -> str:
    """The code of a problem body; empty for any other answer."""
    if "problem+json" not in answer.headers.get("content-type", ""):
        return ""
    try:
        content = json.loads(answer.body)
    except ValueError:
        return "(not JSON)"
    return str(content.get("code", "")) if isinstance(content, dict) else "(no object)"


async def attempt(pool: Pool, data: bytes, due: float, seconds: float) -> Outcome:
    """Sends a request on a kept connection and returns its outcome. Raises OSError."""
    sent = perf_counter()
    try:
        connection = await pool.take(seconds)
        answer = await connection.exchange(data, seconds)
    except Lost as fault:
        return Outcome(due, sent, perf_counter(), lost=fault.how)
    pool.give_back(connection)
    return read_outcome(due, sent, answer)


async def attempt_alone(address: Address, data: bytes, due: float, seconds: float) -> Outcome:
    """The same on a new connection, which is closed afterwards."""
    sent = perf_counter()
    connection: Connection | None = None
    try:
        connection = await connect(address, seconds)
        answer = await connection.exchange(data, seconds)
    except Lost as fault:
        return Outcome(due, sent, perf_counter(), lost=fault.how)
    finally:
        if connection is not None:
            connection.close()
    return read_outcome(due, sent, answer)


def count_labels(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Number of requests by outcome, the most frequent first."""
    return dict(Counter(outcome.label for outcome in outcomes).most_common())


def select(outcomes: Sequence[Outcome], status: int) -> list[Outcome]:
    """Those with this status."""
    return [outcome for outcome in outcomes if outcome.status == status]
