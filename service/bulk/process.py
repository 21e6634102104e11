"""The worker process: takes batches of names from its pipe, returns encoded rows."""

import signal
from multiprocessing.connection import Connection
from typing import NamedTuple

from runtime import RuntimeFault
from service.bulk.forms import RowForm
from service.bulk.rows import Row
from service.bulk.worker import ImageWorker
from service.messages.logs import configure_logging


class Encoded(NamedTuple):
    """Rows as bytes, their number, the number of errors, and the lines for standard error."""

    data: bytes
    rows: int
    failed: int
    messages: tuple[str, ...]


class Ready(NamedTuple):
    """The worker has loaded its model."""


class Alive(NamedTuple):
    """The worker has finished a row of its batch; without this sign it would count as hanging."""


class Unusable(NamedTuple):
    """The worker could not load its model; it ends."""

    reason: str


def encode_rows(rows: list[Row], form: RowForm) -> Encoded:
    """Encodes rows in the form."""
    bad = [(row.name, row.error) for row in rows if row.error is not None]
    messages = [f"{name}: {error.detail}" for name, error in bad] if form.tells_errors else []
    data = b"".join(map(form.encode, rows))
    return Encoded(data, len(rows), len(bad), tuple(messages))


def run_worker(connection: Connection, worker: ImageWorker, form: RowForm) -> None:
    """Works until the other end of the pipe is closed, which also happens when the parent dies.

    A terminal and a service manager signal every process of the group, but only the parent decides.
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
