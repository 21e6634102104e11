"""OpenTelemetry: the stages of a request as spans below the server's span, which FastAPI makes.

Nothing is measured here: spans are made afterwards from times that are known anyway, and only for
requests that are traced. Without an SDK there are no spans. Whoever sets up an SDK has imported
OpenTelemetry: if it is not imported, it is not imported here either.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from time import monotonic, perf_counter, time_ns
from typing import TYPE_CHECKING

from service.messages.logs import RequestContext
from service.messages.problems import Problem
from service.work.inference import Classified
from service.work.scheduler import Job

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig
    from opentelemetry.trace import Span, Tracer
    from opentelemetry.util.types import Attributes, AttributeValue

_OPENTELEMETRY = "opentelemetry.trace"
_PROVIDER = "OTEL_PYTHON_TRACER_PROVIDER"
_NANOSECONDS = 1_000_000_000


def heed_environment() -> None:
    """Imports OpenTelemetry if the environment names a provider, which it looks for itself."""
    if os.environ.get(_PROVIDER):
        import opentelemetry.trace  # noqa: F401


def are_requests_traced() -> bool:
    """Whether somebody has set up a provider of spans in this process."""
    if _OPENTELEMETRY not in sys.modules:
        return False
    from opentelemetry import trace

    nobodys = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)
    return not isinstance(trace.get_tracer_provider(), nobodys)


def plan_telemetry(excluded: frozenset[str]) -> TelemetryConfig:
    """Configures FastAPI: with an SDK, a span for each request except to these paths.

    Metrics and logs are left to /metrics and standard error, so that each has one source.
    """
    return {
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
        "exclude": lambda scope: scope["path"] in excluded,
    }


def find_span() -> Span | None:
    """The span of the present request; None: it is not traced."""
    if _OPENTELEMETRY not in sys.modules:
        return None
    from opentelemetry import trace

    span = trace.get_current_span()
    return None if span is trace.INVALID_SPAN else span


def relate(context: RequestContext, span: Span) -> RequestContext:
    """The context with the ids of this span, for the log."""
    from opentelemetry import trace

    ids = span.get_span_context()
    trace_id = trace.format_trace_id(ids.trace_id)
    parent = context.parent_span_id if context.trace_id == trace_id else None
    return replace(
        context,
        trace_id=trace_id,
        parent_span_id=parent,
        span_id=trace.format_span_id(ids.span_id),
    )


def describe_route(span: Span, method: str, route: str) -> None:
    """Names the span of a request that no router of FastAPI sees."""
    span.update_name(f"{method} {route}")
    span.set_attribute("http.route", route)


def describe_problem(span: Span, code: str) -> None:
    """Adds the problem of the answer."""
    span.set_attribute("bnn.problem", code)


def add_receive(began: float, seconds: float, size: int) -> None:
    """The body of `size` bytes of images arrived; `began` is of time.perf_counter."""
    _add("receive", perf_counter, began, seconds, {"bnn.bytes": size})


def add_image(index: int, job: Job, outcome: Classified | Problem) -> None:
    """Adds the stages of one image of the present request, as far as it came."""
    number: dict[str, AttributeValue] = {"bnn.image": index}
    if not isinstance(outcome, Classified):
        waited = (job.began or monotonic()) - job.queued
        _add("queue", monotonic, job.queued, waited, {**number, "bnn.problem": outcome.code})
        return
    image, seconds = outcome.image, outcome.seconds
    shape: dict[str, AttributeValue] = {
        "bnn.bytes": job.encoded_bytes,
        "bnn.format": image.format,
        "bnn.width": image.width,
        "bnn.height": image.height,
    }
    decoded = image.began + seconds["decode"]
    _add("queue", monotonic, job.queued, seconds["queue"], number)
    _add("decode", perf_counter, image.began, seconds["decode"], number | shape)
    _add("preprocess", perf_counter, decoded, seconds["preprocess"], number)
    together: dict[str, AttributeValue] = {"bnn.images_together": outcome.unit}
    if outcome.known is not None:
        together["bnn.known"] = outcome.known
    _add("infer", perf_counter, outcome.infer_began, seconds["infer"], number | together)
    if "explain" in seconds:
        inferred = outcome.infer_began + seconds["infer"]
        _add("explain", perf_counter, inferred, seconds["explain"], number)


def _add(
    name: str, clock: Callable[[], float], began: float, seconds: float, attributes: Attributes
) -> None:
    """Adds a finished span below the present one; `began` is of this clock."""
    start = time_ns() - int((clock() - began) * _NANOSECONDS)
    span = _find_tracer().start_span(name, start_time=start, attributes=attributes)
    span.end(start + int(seconds * _NANOSECONDS))


def _find_tracer() -> Tracer:
    from opentelemetry import trace

    return trace.get_tracer("bnn-service")
