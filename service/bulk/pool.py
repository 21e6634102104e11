"""Worker processes that outlive crashes: batches of names in, encoded rows out."""

import multiprocessing
import signal
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from time import monotonic

from service.bulk.forms import RowForm
from service.bulk.process import Alive, Encoded, Ready, Unusable, encode_rows, run_worker
from service.bulk.rows import describe_failure
from service.bulk.worker import ImageWorker

_AHEAD = 2  # batches that a worker has: one in work, one so that it need not wait
_MAX_STARTS = 3  # that fail one after another
_START_SECONDS = 120.0
_END_SECONDS = 5.0
_SPAWN = multiprocessing.get_context("spawn")


class PoolBroken(Exception):
    """No worker can be started; the text says why."""


@dataclass(eq=False)
class _Batch:
    number: int
    names: tuple[str, ...]
    parts: dict[int, Encoded] = field(default_factory=dict)


@dataclass(frozen=True)
class _Task:
    """Names of a batch that a worker gets at once: all of them, or one after a crash."""

    batch: _Batch
    start: int
    stop: int
    is_retry: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return self.batch.names[self.start : self.stop]


@dataclass(eq=False)
class _Process:
    """A worker process and its tasks; the first one is in progress."""

    process: multiprocessing.process.BaseProcess
    connection: Connection
    since: float  # it works on an image of its first task, or starts
    is_ready: bool = False
    tasks: deque[_Task] = field(default_factory=deque)


class WorkerPool:
    """At most `size` processes, started when there is work for them.

    A process that dies or hangs is replaced. Its names are tried once more, one by one; a name that
    ends a worker again gets an error row. Not thread-safe.
    """

    def __init__(self, worker: ImageWorker, form: RowForm, size: int, hang_seconds: float) -> None:
        """`hang_seconds`: time for one image, after which its worker counts as hanging."""
        self._worker = worker
        self._form = form
        self.size = size
        self._hang_seconds = hang_seconds
        self._processes: list[_Process] = []
        self._waiting: deque[_Task] = deque()
        self._failed_starts = 0
        self.deaths = 0

    @property
    def has_room(self) -> bool:
        """Whether a worker would get a new batch at once."""
        room = self.size * _AHEAD - sum(len(each.tasks) for each in self._processes)
        return len(self._waiting) < room

    def submit(self, number: int, names: Sequence[str]) -> None:
        """Accepts a batch; `wait` returns its rows with the number. Raises PoolBroken."""
        self._waiting.append(_Task(_Batch(number, tuple(names)), 0, len(names)))
        self._assign()

    def wait(
        self, timeout: float, descriptors: Sequence[int] = ()
    ) -> tuple[list[tuple[int, Encoded]], list[int]]:
        """Batches that are done, and those of the descriptors that can be read; both may be none.

        Raises PoolBroken.
        """
        by_source = {each.connection: each for each in self._processes}
        limit = min((self._seconds_left(each) for each in self._processes), default=timeout)
        readable = wait([*by_source, *descriptors], max(0.0, min(timeout, limit)))
        done: list[tuple[int, Encoded]] = []
        for source in readable:
            if isinstance(source, Connection):
                self._receive(by_source[source], done)
        for each in [each for each in self._processes if self._seconds_left(each) <= 0]:
            each.process.kill()
            self._bury(each, done, is_hanging=True)
        self._assign()
        return done, [source for source in readable if isinstance(source, int)]

    def close(self) -> None:
        """Ends the processes; those that take too long are killed."""
        for each in self._processes:
            each.connection.close()
        deadline = monotonic() + _END_SECONDS
        for each in self._processes:
            each.process.join(max(0.0, deadline - monotonic()))
            if each.process.is_alive():
                each.process.kill()
                each.process.join()
            each.process.close()
        self._processes.clear()

    def _assign(self) -> None:
        while self._waiting:
            idle = min(self._processes, key=lambda each: len(each.tasks), default=None)
            if idle is None or (idle.tasks and len(self._processes) < self.size):
                idle = self._start()
            if len(idle.tasks) >= _AHEAD:
                return
            task = self._waiting.popleft()
            if not idle.tasks and idle.is_ready:
                idle.since = monotonic()
            idle.tasks.append(task)
            try:
                idle.connection.send(task.names)
            except OSError:  # it has died: the end of its pipe tells so, too
                return

    def _start(self) -> _Process:
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(
            target=run_worker, args=(theirs, self._worker, self._form), name="classify", daemon=True
        )
        # The mask is inherited: no signal to the group ends a process that is being started.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        started = _Process(process, ours, monotonic())
        self._processes.append(started)
        return started

    def _seconds_left(self, each: _Process) -> float:
        """Seconds until a process counts as hanging."""
        if not each.is_ready:
            return each.since + _START_SECONDS - monotonic()
        if not each.tasks:
            return float("inf")
        return each.since + self._hang_seconds - monotonic()

    def _receive(self, each: _Process, done: list[tuple[int, Encoded]]) -> None:
        try:
            answer = each.connection.recv()
        except (EOFError, OSError):
            self._bury(each, done)
            return
        if isinstance(answer, Unusable):
            raise PoolBroken(answer.reason)
        each.since = monotonic()
        if isinstance(answer, Alive):
            return
        if isinstance(answer, Ready):
            each.is_ready = True
            self._failed_starts = 0
            return
        self._finish(each.tasks.popleft(), answer, done)

    def _finish(self, task: _Task, rows: Encoded, done: list[tuple[int, Encoded]]) -> None:
        batch = task.batch
        batch.parts[task.start] = rows
        if sum(part.rows for part in batch.parts.values()) == len(batch.names):
            parts = [batch.parts[start] for start in sorted(batch.parts)]
            done.append(
                (
                    batch.number,
                    Encoded(
                        b"".join(part.data for part in parts),
                        len(batch.names),
                        sum(part.failed for part in parts),
                        tuple(text for part in parts for text in part.messages),
                    ),
                )
            )

    def _bury(
        self, each: _Process, done: list[tuple[int, Encoded]], is_hanging: bool = False
    ) -> None:
        """Removes a dead process; its work goes to others."""
        self._processes.remove(each)
        each.connection.close()
        each.process.join()
        code = each.process.exitcode or 0
        each.process.close()
        how = f"signal {-code}" if code < 0 else f"status {code}"
        self.deaths += 1
        tasks = list(each.tasks)
        if not each.is_ready:
            self._failed_starts += 1
            if self._failed_starts == _MAX_STARTS:
                raise PoolBroken(
                    f"expected worker processes; {_MAX_STARTS} ended ({how}) before they were "
                    "ready. Is there memory for so many (--workers)?"
                )
        elif tasks:
            task = tasks.pop(0)
            if not task.is_retry:
                self._waiting.extendleft(reversed(tasks))
                tasks = [
                    _Task(task.batch, place, place + 1, is_retry=True)
                    for place in range(task.start, task.stop)
                ]
            else:
                code_word, detail = (
                    ("hanging", f"expected rows within {self._hang_seconds:g} s; found none")
                    if is_hanging
                    else ("worker_died", f"expected a worker that outlives the image; found {how}")
                )
                row = describe_failure(task.names[0], code_word, f"{detail}, twice")
                self._finish(task, encode_rows([row], self._form), done)
        self._waiting.extendleft(reversed(tasks))
