"""Refuses requests for which there is no room before a request object exists, to save CPU."""

from time import perf_counter

from starlette.types import Scope

from service.access.access import Access
from service.messages.logs import RequestContext, read_context
from service.messages.problems import Problem
from service.metrics.metrics import Metrics
from service.repository.names import may_name_model
from service.settings.settings import MAX_DEADLINE_MS, Settings
from service.work.admission import Admission
from service.work.lifecycle import Lifecycle


class Gate:
    """Called by a connection when the head of a request is complete.

    Several hundred refusals per second must leave the CPU to the workers: a request that is refused
    here has no task, no span and no log line, and costs a third. The application checks once more.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        lifecycle: Lifecycle,
        admission: Admission,
        access: Access,
        paths: frozenset[bytes],
    ) -> None:
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._admission = admission
        self._access = access
        self._paths = {path: path.decode() for path in paths}
        self._deadline_ms = settings.deadline_ms

    @property
    def is_draining(self) -> bool:
        """Whether each connection is closed after its next answer."""
        return self._lifecycle.is_draining

    def refuse(
        self, method: bytes, target: bytes, scope: Scope
    ) -> tuple[Problem, RequestContext] | None:
        """The reason to refuse this request, and its context; None: the application decides."""
        path, _, query = target.partition(b"?")
        route = self._paths.get(path)
        if may_name_model(query):
            return None  # other models take other times
        if route is None or method != b"POST" or not self._admission.is_crowded:
            return None
        began = perf_counter()
        if self._lifecycle.refuses_new or not self._lifecycle.is_started:
            return None
        found: dict[bytes, bytes] = dict(scope["headers"])
        if b"origin" in found:
            return None  # a page of another origin may read answers with headers that CORS adds
        length = found.get(b"content-length")
        deadline = found.get(b"x-deadline-ms", b"%d" % self._deadline_ms)
        if not (deadline.isdigit() and len(deadline) < 10):
            return None  # the application decides
        if not 1 <= int(deadline) <= MAX_DEADLINE_MS:
            return None
        announced = None  # or a number that may be compared: Python limits the digits of an int
        if length is not None and length.isdigit() and len(length) <= 18:
            announced = int(length)
        try:
            caller = self._access.find_caller(scope)
        except Problem:
            return None
        try:
            self._admission.check_entry(caller, announced, int(deadline) / 1000)
        except Problem as problem:
            context = read_context(found.get(b"x-request-id"), found.get(b"traceparent"))
            status = problem.definition.status
            self._metrics.count_problem(problem.code)
            self._metrics.count_request(route, "POST", status, perf_counter() - began)
            return problem, context
        return None
