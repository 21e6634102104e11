"""What a worker process does: takes batches of names from its pipe, gives back encoded rows."""

import signal
from multiprocessing.connection import Connection
from typing import NamedTuple

from runtime import RuntimeFault
from service.bulk.forms import RowForm
from service.bulk.rows import Row
from service.bulk.worker import ImageWorker
from service.messages.logs import configure_logging


class Encoded(NamedTuple):
    """Rows as bytes, how many they are and how many have errors, and those for standard error."""

    data: bytes
    rows: int
    failed: int
    messages: tuple[str, ...]


class Ready(NamedTuple):
    """The worker has loaded its model."""


class Alive(NamedTuple):
    """The worker has a row of its batch; without it, it would be taken to hang."""


class Unusable(NamedTuple):
    """The worker could not load its model; it ends."""

    reason: str


def encode_rows(rows: list[Row], form: RowForm) -> Encoded:
    """The rows as the form has them."""
    bad = [(row.name, row.error) for row in rows if row.error is not None]
    messages = [f"{name}: {error.detail}" for name, error in bad] if form.tells_errors else []
    data = b"".join(map(form.encode, rows))
    return Encoded(data, len(rows), len(bad), tuple(messages))


def run_worker(connection: Connection, worker: ImageWorker, form: RowForm) -> None:
    """Until the other end of the pipe is closed, as it is when the parent ends, however it does.

    A terminal and a service manager signal each process of the group: the parent alone decides.
    """
    for by in (signal.SIGINT, signal.SIGTERM):
        signal.signal(by, signal.SIG_IGN)
    configure_logging("warning", "text")
    try:
        try:
            worker.load()
        except (RuntimeFault, ValueError) as fault:
            connection.send(Unusable(str(fault)))
            return
        connection.send(Ready())
        while True:
            rows = []
            for row in worker.classify_each(connection.recv()):
                rows.append(row)
                connection.send(Alive())
            connection.send(encode_rows(rows, form))
    except (EOFError, BrokenPipeError, ConnectionResetError):  # the parent has gone
        return
