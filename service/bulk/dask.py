"""A pool of the workers of a Dask cluster: batches of names in, encoded rows out."""

import errno
import logging
import math
import os
import socket
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from runtime import RuntimeFault
from service.bulk.forms import RowForm
from service.bulk.object_store import StoreUnusable, is_url, open_store
from service.bulk.process import Encoded, Unusable, encode_rows
from service.bulk.rows import Row, describe_failure
from service.bulk.worker import ImageWorker
from service.classification.classifier import InvalidTopK
from service.system.versions import DISTRIBUTION, read_versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Future

EXTRA = "pip install 'bnn-service[dask]'"
_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 20.0
_WORKER_SECONDS = 60.0  # for the first worker
_LOOK_SECONDS = 5.0  # after which a silent cluster is looked at
_CLOSE_SECONDS = 2.0
_AHEAD = 3  # batches that are sent for each thread: one in work, the others beside it
_ABSENT = os.strerror(errno.ENOENT)
_GONE = (
    "expected the Dask scheduler to stay; it is gone. Rows that are written stay: start it, and "
    "run the same command again."
)


class ClusterUnusable(Exception):
    """The scheduler is not reachable, or a worker cannot do the work; the text says why."""


class OtherModel(Exception):
    """A worker has another version or model than the run; the text names it."""


class _Answer(NamedTuple):
    rows: Encoded
    is_all_absent: bool  # no name leads to a file there


@dataclass(eq=False)
class _Batch:
    number: int
    size: int
    parts: dict[int, Encoded] = field(default_factory=dict)


@dataclass(frozen=True)
class _Task:
    """Names of a batch that are sent together: all of them, or one after a worker died."""

    batch: _Batch
    start: int
    names: tuple[str, ...]


class DaskPool:
    """Has the methods of WorkerPool; its workers run on other machines, and may come and go.

    If a worker is lost, Dask gives its work to others. An image that ends one worker after another
    gets an error row. Local names are relative to the working folder here, and must lead to the
    images on the other machines. Not thread-safe.
    """

    def __init__(self, address: str, worker: ImageWorker, form: RowForm, model_id: str) -> None:
        """`address`: of the scheduler, as tcp://HOST:8786; `model_id`: of the model to be used.

        Raises ClusterUnusable.
        """
        try:
            from distributed import Client
            from distributed.comm.addressing import parse_address, parse_host_port
        except ImportError as fault:
            raise ClusterUnusable(
                f"expected the extra dask; found no package distributed. {EXTRA}"
            ) from fault
        self._version = read_versions()["service"]
        self._wanted = self._version, model_id
        self._worker = worker
        self._form = form
        self._folder = os.getcwd()
        self._pending: dict[Future[_Answer | Unusable], _Task] = {}
        self._done: SimpleQueue[Future[_Answer | Unusable]] = SimpleQueue()
        self._suspects: deque[_Task] = deque()  # with one of them workers died
        self._threads = 0
        self._asked = self._looked = -math.inf  # when, of time.monotonic
        self._has_found = False  # whether a worker found any file
        self._is_told = False  # that there is no worker
        self.deaths = 0
        try:
            # Client would say so, too, and then wait for 40 s at the interpreter's end.
            parse_host_port(parse_address(address)[1])
            self._client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as fault:
            raise ClusterUnusable(
                f"expected a Dask scheduler at {address}, as tcp://HOST:8786; found: {fault}"
            ) from fault
        self._ear, self._bell = os.pipe()
        os.set_blocking(self._bell, False)
        os.set_blocking(self._ear, False)
        try:
            self._client.wait_for_workers(1, timeout=_WORKER_SECONDS)
        except OSError as fault:  # TimeoutError for one
            self.close()
            raise ClusterUnusable(
                f"expected a Dask worker within {_WORKER_SECONDS:.0f} s; found none. Start some: "
                f"dask worker {address} --nthreads 1"
            ) from fault

    @property
    def size(self) -> int:
        """Threads of the present workers, at least 1. Raises ClusterUnusable."""
        return self._count_threads()

    @property
    def has_room(self) -> bool:
        """Whether a worker would get a new batch soon. Raises ClusterUnusable."""
        return not self._suspects and len(self._pending) < _AHEAD * self._count_threads()

    def submit(self, number: int, names: Sequence[str]) -> None:
        """Accepts a batch; `wait` returns its rows with the number. Raises ClusterUnusable."""
        self._send(_Task(_Batch(number, len(names)), 0, tuple(names)))

    def wait(
        self, timeout: float | None, descriptors: Sequence[int] = ()
    ) -> tuple[list[tuple[int, Encoded]], list[int]]:
        """Batches that are done, and those of the descriptors that can be read; both may be none.

        Raises ClusterUnusable.
        """
        limit = _LOOK_SECONDS if timeout is None else min(timeout, _LOOK_SECONDS)
        readable: list[object] = list(wait([self._ear, *descriptors], limit))
        done: list[tuple[int, Encoded]] = []
        if self._ear in readable:
            with suppress(BlockingIOError):
                os.read(self._ear, 4096)
        with suppress(Empty):
            while True:
                self._receive(self._done.get_nowait(), done)
        # Alone: Dask suspects all that a worker had when it died, not only what it worked on.
        if self._suspects and not self._pending:
            self._send(self._suspects.popleft())
        if done:
            self._looked = monotonic()
        elif self._pending:
            self._look()
        return done, [source for source in descriptors if source in readable]

    def close(self) -> None:
        """Leaves the cluster; work that is not finished is cancelled."""
        self._pending.clear()
        self._suspects.clear()
        with suppress(OSError):  # of a scheduler that is gone
            self._client.close(timeout=_CLOSE_SECONDS)
        os.close(self._bell)
        os.close(self._ear)

    def _send(self, task: _Task) -> None:
        with _scheduler():
            # pure=False: equal arguments would be one task.
            future = self._client.submit(
                classify_there,
                *(self._worker, self._form, self._wanted, self._folder, list(task.names)),
                pure=False,
            )
            self._pending[future] = task
            future.add_done_callback(self._ring)

    def _ring(self, future: "Future[_Answer | Unusable]") -> None:
        """Called in a thread of Dask."""
        self._done.put(future)
        with suppress(OSError):  # as many bytes as fit are enough; nobody may listen any more
            os.write(self._bell, b"\0")

    def _receive(
        self, future: "Future[_Answer | Unusable]", done: list[tuple[int, Encoded]]
    ) -> None:
        from distributed import CancelledError, KilledWorker

        task = self._pending.pop(future)
        try:
            with _scheduler():
                answer = future.result()
        except KilledWorker:
            self.deaths += 1
            if len(task.names) > 1:  # the others may be good
                for place, name in enumerate(task.names, task.start):
                    self._suspects.append(_Task(task.batch, place, (name,)))
                return
            row = describe_failure(
                task.names[0],
                "worker_died",
                "expected a worker that outlives the image; several ended, one after another",
            )
            answer = _Answer(encode_rows([row], self._form), False)
        except CancelledError as fault:
            raise ClusterUnusable(_GONE) from fault
        except ImportError as fault:
            raise ClusterUnusable(
                f"expected {DISTRIBUTION} {self._version} on each Dask worker; found: {fault}. "
                f"There, too: {EXTRA}"
            ) from fault
        if isinstance(answer, Unusable):
            raise ClusterUnusable(answer.reason)
        self._has_found |= not answer.is_all_absent
        if not self._has_found and any(map(os.path.isfile, task.names)):
            raise ClusterUnusable(
                "expected the images under the same names on the workers' machines; a worker "
                f"found none of {len(task.names)} that are here. Put them on a volume that all "
                "machines have, or into an object store."
            )
        self._finish(task, answer.rows, done)

    def _finish(self, task: _Task, rows: Encoded, done: list[tuple[int, Encoded]]) -> None:
        batch = task.batch
        batch.parts[task.start] = rows
        parts = [batch.parts[start] for start in sorted(batch.parts)]
        if sum(part.rows for part in parts) == batch.size:
            messages = tuple(text for part in parts for text in part.messages)
            data = b"".join(part.data for part in parts)
            failed = sum(part.failed for part in parts)
            done.append((batch.number, Encoded(data, batch.size, failed, messages)))

    def _count_threads(self) -> int:
        """Threads of all workers, at least 1; asked for once per second."""
        if monotonic() >= self._asked + 1:
            with _scheduler():
                self._threads = sum(self._client.nthreads().values())
            self._asked = monotonic()
        return max(self._threads, 1)

    def _look(self) -> None:
        """Checks why nothing happens. Raises ClusterUnusable."""
        if monotonic() < self._looked + _LOOK_SECONDS:
            return
        self._looked = monotonic()
        if self._client.status != "running":
            raise ClusterUnusable(_GONE)
        with _scheduler():
            is_empty = not self._client.nthreads()
        if is_empty and not self._is_told:
            _log.warning("the Dask scheduler has no worker any more; waiting for one")
        self._is_told = is_empty


@contextmanager
def _scheduler() -> "Iterator[None]":
    """Inside of the block the scheduler is used. Raises ClusterUnusable."""
    try:
        yield
    except OSError as fault:
        raise ClusterUnusable(_GONE) from fault


# ---- on the workers ----

_loaded: dict[str, ImageWorker] = {}  # by its arguments: a process loads a model once
_loading = threading.Lock()


def classify_there(
    worker: ImageWorker, form: RowForm, wanted: tuple[str, str], folder: str, names: list[str]
) -> _Answer | Unusable:
    """The rows of a batch; local names are relative to `folder`. `wanted`: version and model.

    Raises nothing: if pickle cannot handle an exception's traceback, Dask's client waits for ever.
    """
    where = f"Dask worker on {socket.gethostname()}"
    try:
        own = _load(worker, wanted)
        url = next(filter(is_url, names), None)
        if url is not None:
            open_store(url)
        found = own.classify([n if is_url(n) else os.path.join(folder, n) for n in names])
        rows = [replace(row, name=name) for row, name in zip(found, names, strict=True)]
        return _Answer(encode_rows(rows, form), all(map(_is_absent, rows)))
    except (RuntimeFault, InvalidTopK, StoreUnusable, OtherModel) as fault:
        return Unusable(f"{where}: {fault}")
    except Exception as fault:
        _log.exception("a batch could not be classified")
        return Unusable(f"{where}: {type(fault).__name__}: {str(fault)[:500]}; its log has more")


def _is_absent(row: Row) -> bool:
    error = row.error
    return error is not None and (error.code, error.detail) == ("unreadable", _ABSENT)


def _load(worker: ImageWorker, wanted: tuple[str, str]) -> ImageWorker:
    key = repr(worker.__reduce__())
    with _loading:
        if key not in _loaded:
            classifier, _ = worker.load()
            found = read_versions()["service"], classifier.model_id
            if found != wanted:
                raise OtherModel(
                    f"expected {DISTRIBUTION} {wanted[0]} with the model {wanted[1]}; found "
                    f"{found[0]} with {found[1]}. Install and copy the same there."
                )
            _loaded[key] = worker
        return _loaded[key]
