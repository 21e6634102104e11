"""The metrics that are read from the live objects of the service on request."""

from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from service.memory.ledger import Account
from service.messages.problems import Problem
from service.metrics.families import make_gauge, make_gauge_by
from service.settings.settings import Settings
from service.work.admission import Admission
from service.work.lifecycle import Lifecycle
from service.work.scheduler import Scheduler

PHASES = ("starting", "ready", "draining", "stopping", "failed")


class MemoryBudget(Protocol):
    """The memory budget, and its accounts."""

    @property
    def limit(self) -> int | None:
        """Bytes of the whole process; None: no limit."""

    @property
    def base(self) -> int:
        """Bytes that the process takes without any request."""

    @property
    def bodies(self) -> Account:
        """The account of bodies that are received or wait."""

    @property
    def decoding(self) -> Account:
        """The account of images that are decoded."""


class Connection(Protocol):
    """The part of a connection that is counted."""

    @property
    def is_working(self) -> bool:
        """Whether a request is being answered."""


class LiveCollector(Collector):
    """Phase, queue, workers and memory accounts. Costs nothing between two scrapes.

    It is called in a thread beside the event loop and reads single numbers, which are true of
    almost the same moment.
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        scheduler: Scheduler,
        admission: Admission,
        budget: MemoryBudget,
        settings: Settings,
    ) -> None:
        self._lifecycle = lifecycle
        self._scheduler = scheduler
        self._admission = admission
        self._budget = budget
        self._settings = settings

    def collect(self) -> Iterable[Metric]:
        """The families."""
        phase = name_phase(self._lifecycle)
        yield make_gauge("bnn_ready", "1 while /readyz answers 200.", is_ready(self._lifecycle))
        yield make_gauge_by(
            "phase",
            "bnn_phase",
            "1 for the present phase of the service's life, 0 for the others.",
            {name: float(name == phase) for name in PHASES},
        )
        yield from self._collect_work()
        yield from self._collect_memory()

    def _collect_work(self) -> Iterable[Metric]:
        scheduler, admission = self._scheduler, self._admission
        yield make_gauge_by(
            "state",
            "bnn_queue_images",
            "Images that wait for a worker, or whose bodies are on their way.",
            {"waiting": scheduler.waiting, "arriving": admission.arriving},
        )
        yield make_gauge(
            "bnn_queue_limit_images", "Images that may wait.", self._settings.queue_images
        )
        yield make_gauge(
            "bnn_predicted_wait_seconds",
            "Time until a worker is free for an image that comes now, by prediction.",
            admission.predict_wait(),
        )
        yield make_gauge("bnn_workers", "Images that may be in work together.", scheduler.workers)
        yield make_gauge("bnn_workers_busy", "Workers that are computing.", scheduler.busy)
        yield make_gauge(
            "bnn_worker_longest_run_seconds",
            "Time since the worker that is busy for longest began; 0: none is busy.",
            scheduler.longest_run(),
        )
        yield make_gauge(
            "bnn_worker_run_limit_seconds",
            "Longest run above which /livez asks for a new start.",
            self._settings.hang_ms / 1000,
        )

    def _collect_memory(self) -> Iterable[Metric]:
        budget = self._budget
        accounts = {"bodies": budget.bodies, "decoding": budget.decoding}
        yield make_gauge(
            "bnn_memory_budget_bytes", "Memory that the service plans with.", budget.limit
        )
        yield make_gauge(
            "bnn_memory_base_bytes", "Of the budget, what no request takes.", budget.base
        )
        yield make_gauge_by(
            "account",
            "bnn_memory_capacity_bytes",
            "Of the budget, what requests may hold together, by account.",
            {name: account.capacity for name, account in accounts.items()},
        )
        yield make_gauge_by(
            "account",
            "bnn_memory_held_bytes",
            "What requests hold, by account.",
            {name: account.held for name, account in accounts.items()},
        )


class ConnectionCollector(Collector):
    """Open connections by what they do; `connections` may change while it is read."""

    def __init__(self, connections: Callable[[], Collection[Connection]], limit: int) -> None:
        self._connections = connections
        self._limit = limit

    def collect(self) -> Iterable[Metric]:
        """The families."""
        present = list(self._connections())
        working = sum(connection.is_working for connection in present)
        yield make_gauge_by(
            "state",
            "bnn_connections",
            "Open connections; working: a request is being answered on it.",
            {"working": working, "idle": len(present) - working},
        )
        yield make_gauge(
            "bnn_connections_limit",
            "Connections above which idle and stalled ones are closed.",
            self._limit,
        )


def is_ready(lifecycle: Lifecycle) -> bool:
    """Whether /readyz answers 200."""
    try:
        lifecycle.check_ready()
    except Problem:
        return False
    return True


def name_phase(lifecycle: Lifecycle) -> str:
    """The present one of PHASES."""
    if lifecycle.fault is not None:
        return "failed"
    if lifecycle.refuses_new:
        return "stopping"
    if lifecycle.is_draining:
        return "draining"
    return "ready" if lifecycle.is_started else "starting"
