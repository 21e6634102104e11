"""Worker threads, and the images that wait for them."""

import asyncio
import contextvars
import functools
import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from queue import SimpleQueue
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime import Level
from service.classification.explanation import Wish
from service.messages.exchange import Connection
from service.messages.problems import Problem
from service.repository.served import ServedModel
from service.work.fair_queue import FairQueue

_log = logging.getLogger(__name__)


#: An image as the bytes of a file, or as the tensor [3, H, W] that the network sees.
Data = bytes | memoryview | npt.NDArray[np.float32]


class Job:
    """One image to be processed by a worker.

    `done` is resolved on the event loop with the work's result, or with its exception. Times are of
    time.monotonic.
    """

    __slots__ = (
        *("abandoned", "began", "caller", "connection", "context", "cost", "data", "deadline"),
        *("done", "encoded_bytes", "level", "model", "on_left", "queued", "top_k", "wish"),
    )

    def __init__(
        self,
        data: Data,
        top_k: int,
        caller: Hashable,
        connection: Connection,
        cost: float,
        deadline: float,
        wish: Wish | None = None,
        model: ServedModel | None = None,
        level: Level | None = None,
    ) -> None:
        self.data = data
        # Of the file that is to be decoded; 0: it is a tensor.
        self.encoded_bytes = 0 if isinstance(data, np.ndarray) else len(data)
        self.top_k = top_k
        self.caller = caller
        self.connection = connection
        self.cost = cost  # seconds a worker will be busy with it, by prediction
        self.deadline = deadline
        self.wish = wish  # to be shown what the answer rests on
        self.level = level  # of the hedged answer that is asked for
        self.model = model  # that it is for; None: the default one
        self.context = contextvars.copy_context()  # what the worker logs belongs to the request
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.queued = monotonic()
        self.began = 0.0  # 0: not yet
        self.abandoned = False  # nobody wants the answer any more
        self.on_left: Callable[[], None] = lambda: None  # called once: no worker has it any more

    def take_data(self) -> bytes | npt.NDArray[np.float32]:
        """Returns the image, once: the job no longer holds its block of bytes."""
        data, self.data = self.data, b""
        return bytes(data) if isinstance(data, memoryview) else data

    @property
    def is_over(self) -> bool:
        """Whether the answer is no longer wanted, or would be too late."""
        return self.abandoned or self.deadline <= monotonic()


Outcome = Any  # what the work made of a job, or the exception that ended it
#: Computes jobs together; `is_alone` tells whether nothing else is in work or waits.
Work = Callable[[Sequence[Job], Callable[[], bool]], Sequence[Outcome]]


class Scheduler:
    """Gives waiting jobs to `workers` threads, up to `unit` of them at once.

    `unit` is 1 unless the engine computes several images together faster than one after another
    (`Inference` finds out). A worker takes the jobs that wait, and never waits for more. `submit`,
    `withdraw` and `stop` are called on the event loop; everything else from any thread.
    """

    def __init__(self, workers: int, work: Work) -> None:
        self.unit = 1
        self.workers = workers
        self._work = work
        self._lock = threading.Lock()
        self._queue: FairQueue[Job] = FairQueue()
        self._late: FairQueue[Job] = FairQueue()  # of clients that have probably left
        self._waiting_seconds = 0.0
        self._running: dict[int, tuple[float, float]] = {}  # worker -> began, predicted seconds
        self._calls: SimpleQueue[bool] = SimpleQueue()  # one for each job; False ends a worker
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._serve, args=(i,), name=f"bnn-worker_{i}", daemon=True)
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    # ---- the event loop's side

    def submit(self, job: Job) -> None:
        """Puts a job into the queue. Raises Problem draining after `stop`."""
        if self._stopped:
            raise Problem("draining", "expected a running service; this one is being stopped.")
        with self._lock:
            self._queue.push(job, job.caller, job.connection)
            self._waiting_seconds += job.cost
        self._calls.put(True)

    def withdraw(self, job: Job) -> bool:
        """Removes a job from the queue; False if it has begun: then only its answer is dropped."""
        job.abandoned = True
        with self._lock:
            queues = (self._queue, self._late)
            removed = any(queue.remove(job, job.caller, job.connection) for queue in queues)
            if removed:
                self._count_out(job)
        if removed:
            job.on_left()
        return removed

    def refuse_waiting(self, problem: Problem) -> None:
        """Ends every job that has not begun, with this problem."""
        with self._lock:
            waiting = [*self._queue.clear(), *self._late.clear()]
            self._waiting_seconds = 0.0
        for job in waiting:
            job.abandoned = True
            _settle(job, problem)

    async def stop(self, patience: float) -> None:
        """Refuses what waits, and ends the workers when they have finished their jobs.

        A worker that hangs for more than `patience` seconds is abandoned: it ends with the process.
        """
        self._stopped = True
        self.refuse_waiting(Problem("draining", "expected to be in time; the service has stopped."))
        for _ in self._threads:
            self._calls.put(False)
        until = monotonic() + patience
        for thread in self._threads:
            await asyncio.to_thread(thread.join, max(0.0, until - monotonic()))
            if thread.is_alive():
                _log.error("a worker hangs and is left behind", extra={"worker": thread.name})

    # ---- what others want to know

    @property
    def waiting(self) -> int:
        """Images in the queue."""
        return len(self._queue) + len(self._late)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is being computed."""
        return not self._running and not self.waiting

    @property
    def busy(self) -> int:
        """Workers that are computing."""
        return len(self._running)

    def count_waiting(self, caller: Hashable) -> int:
        """Images of this caller in the queue."""
        return self._queue.count(caller) + self._late.count(caller)

    def predict_wait(self) -> float:
        """Seconds until a worker is free for an image that comes now."""
        now = monotonic()
        with self._lock:
            if len(self._running) < self.workers and not self.waiting:
                return 0.0
            rest = sum(max(0.0, began + cost - now) for began, cost in self._running.values())
            return (self._waiting_seconds + rest) / self.workers

    def longest_run(self) -> float:
        """Seconds since the longest busy worker began its job; 0: none is busy."""
        now = monotonic()
        with self._lock:
            return max((now - began for began, _ in self._running.values()), default=0.0)

    # ---- the workers' side

    def _serve(self, worker: int) -> None:
        while self._calls.get():
            jobs = self._take(worker)
            if not jobs:  # withdrawn, or taken together with another
                continue
            try:
                outcomes = self._work(jobs, self._is_alone)
            except BaseException as fault:  # the work reports faults by job: this is one of ours
                _log.exception("a worker failed unexpectedly")
                outcomes = [fault] * len(jobs)
            with self._lock:
                del self._running[worker]
            _tell_loop(jobs[0], functools.partial(_settle_all, jobs, outcomes))
            del jobs, outcomes  # it may be long until the next ones

    def _take(self, worker: int) -> list[Job]:
        """The next unit of jobs, marked as begun."""
        now = monotonic()
        jobs: list[Job] = []
        skipped: list[Job] = []
        with self._lock:
            share = -(-self.waiting // self.workers)  # the other workers get theirs
            most = max(1, min(self.unit, share))
            while len(jobs) < most and (job := self._pop()) is not None:
                self._count_out(job)
                if job.abandoned or job.deadline <= now:  # its own timer answers it
                    skipped.append(job)
                    continue
                job.began = now
                jobs.append(job)
            if jobs:
                self._running[worker] = (now, sum(job.cost for job in jobs))
        for job in skipped:
            _tell_loop(job, functools.partial(_leave, job))
        return jobs

    def _pop(self) -> Job | None:
        """The next job; those whose clients have closed their side of the connection come last.

        Most of these have left, and a few wait for their answer: both look the same.
        """
        while (job := self._queue.pop()) is not None:
            if not job.connection.half_closed:
                return job
            self._late.push(job, job.caller, job.connection)
        return self._late.pop()

    def _is_alone(self) -> bool:
        return len(self._running) == 1 and not self.waiting

    def _count_out(self, job: Job) -> None:
        """Sums of floats drift: an empty queue starts anew."""
        self._waiting_seconds = self._waiting_seconds - job.cost if self.waiting else 0.0


def _tell_loop(job: Job, what: Callable[[], None]) -> None:
    try:
        job.done.get_loop().call_soon_threadsafe(what)
    except RuntimeError:  # the loop is closed: nobody waits any more
        _log.debug("a worker outlived the event loop")


def _leave(job: Job) -> None:
    """Called on the event loop, where `on_left` is not being set at the same time."""
    job.on_left()


def _settle_all(jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
    for job, outcome in zip(jobs, outcomes, strict=True):
        _settle(job, outcome)


def _settle(job: Job, outcome: Outcome) -> None:
    job.on_left()
    if job.done.done():  # past its deadline, or its client has left
        return
    if isinstance(outcome, BaseException):
        job.done.set_exception(outcome)
    else:
        job.done.set_result(outcome)
