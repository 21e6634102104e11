"""service.requests.tracing: stages as spans of measured times, against the real SDK; nothing
without it.
"""

import time
from collections.abc import Callable
from time import monotonic, perf_counter
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.access.access import Access
from service.classification.classifier import Prepared
from service.messages.exchange import Answer, ClientGone, Connection, Exchange
from service.messages.logs import RequestContext
from service.messages.problems import Problem
from service.metrics.metrics import Metrics
from service.requests import tracing
from service.requests.front import Front
from service.settings.settings import Settings
from service.work.inference import Classified
from service.work.lifecycle import Lifecycle
from service.work.scheduler import Job

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


class Collected:
    """A provider whose spans are kept."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")

    def take(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self._exporter.get_finished_spans()}


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Collected:
    collected = Collected()
    monkeypatch.setattr(tracing, "_find_tracer", lambda: collected.tracer)
    return collected


def measure(span: ReadableSpan) -> float:
    """Its seconds."""
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


async def make_job() -> Job:
    return Job(b"123456", 1, "caller", Connection(), 0.1, monotonic() + 60)


@pytest.mark.anyio
async def test_stages_of_an_image_lie_where_they_were(collected: Collected) -> None:
    job = await make_job()
    job.queued = monotonic() - 10
    job.began = job.queued + 4
    began = perf_counter() - 6
    tensor = np.zeros((3, 4, 4), np.float32)
    make_image = Prepared(tensor, "JPEG", 640, 480, began, 1.5, 0.5)
    seconds = {"queue": 4.0, "decode": 1.5, "preprocess": 0.5, "infer": 0.25}
    now = time.time()
    with collected.tracer.start_as_current_span("server") as server:
        tracing.add_image(
            *(2, job),
            Classified([], make_image, seconds, 4, began + 3, np.zeros(3, np.float32), known=0.25),
        )
    spans = collected.take()
    assert {name: measure(spans[name]) for name in seconds} == pytest.approx(seconds)
    starts = {name: (spans[name].start_time or 0) / 1e9 - now for name in seconds}
    assert starts == pytest.approx(
        {"queue": -10, "decode": -6, "preprocess": -4.5, "infer": -3}, abs=0.5
    )
    for name in seconds:
        parent = spans[name].parent
        assert parent is not None
        assert parent.span_id == server.get_span_context().span_id
        assert (spans[name].attributes or {})["bnn.image"] == 2
    decode = dict(spans["decode"].attributes or {})
    assert decode["bnn.bytes"] == 6
    assert (decode["bnn.format"], decode["bnn.width"], decode["bnn.height"]) == ("JPEG", 640, 480)
    infer = dict(spans["infer"].attributes or {})
    assert (infer["bnn.images_together"], infer["bnn.known"]) == (4, 0.25)


@pytest.mark.anyio
async def test_an_image_that_was_never_computed_has_waited(collected: Collected) -> None:
    job = await make_job()
    job.queued = monotonic() - 3
    with collected.tracer.start_as_current_span("server"):
        tracing.add_image(0, job, Problem("deadline_exceeded", "late"))
    spans = collected.take()
    assert spans.keys() == {"server", "queue"}
    assert measure(spans["queue"]) == pytest.approx(3, abs=0.5)
    assert (spans["queue"].attributes or {})["bnn.problem"] == "deadline_exceeded"


def test_the_log_gets_the_ids_of_the_span(collected: Collected) -> None:
    with collected.tracer.start_as_current_span("server") as span:
        assert tracing.find_span() is span
        ids = span.get_span_context()
        trace_id, span_id = f"{ids.trace_id:032x}", f"{ids.span_id:016x}"
        same = tracing.relate(RequestContext("r", trace_id, CALLER), span)
        other = tracing.relate(RequestContext("r", TRACE, CALLER), span)
    assert same == RequestContext("r", trace_id, CALLER, span_id)
    assert other == RequestContext("r", trace_id, None, span_id), "another propagator decided"
    assert tracing.find_span() is None


@pytest.mark.anyio
@pytest.mark.parametrize("body", ["an image", "no image"])
async def test_without_an_sdk_no_span_is_made(
    client: httpx.AsyncClient,
    make_image: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
    body: str,
) -> None:
    """Every way to a span is watched: none is taken by a request, though its caller is traced."""
    made: list[str] = []

    def watch(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            made.append(name)
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, counted)

    watch(trace.NonRecordingSpan, "__init__")
    watch(trace.ProxyTracer, "start_span")
    watch(trace.ProxyTracerProvider, "get_tracer")
    for name in (
        "_add",
        "add_image",
        "add_receive",
        "relate",
        "describe_route",
        "describe_problem",
    ):
        watch(tracing, name)
    monkeypatch.setattr("service.requests.intake.add_image", tracing.add_image)
    monkeypatch.setattr("service.requests.intake.add_receive", tracing.add_receive)
    for name in ("relate", "describe_route", "describe_problem"):
        monkeypatch.setattr(f"service.requests.front.{name}", getattr(tracing, name))
    sent = make_image() if body == "an image" else b"GIF89a, no image"
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    answer = await client.post("/classify", content=sent, headers=headers)
    assert answer.status_code == (200 if body == "an image" else 415)
    assert (await client.get("/info", headers=headers)).status_code == 200
    assert made == []
    trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT)
    assert made == ["__init__"], "or nothing is watched"


def test_what_fastapi_is_told() -> None:
    plan = tracing.plan_telemetry(frozenset({"/livez"}))
    exclude = plan["exclude"]
    assert exclude is not None
    assert exclude({"path": "/livez"})
    assert not exclude({"path": "/classify"})
    assert plan["auto_configure"] is False
    assert not plan["metrics"]
    assert not plan["logs"]


@pytest.mark.anyio
@pytest.mark.parametrize("gone", [True, False])
async def test_a_client_that_left_is_no_failure_of_the_service(
    collected: Collected, gone: bool
) -> None:
    async def handle(_: Exchange) -> Answer:
        if gone:
            raise ClientGone
        raise RuntimeError("a fault of ours")

    app = FastAPI(telemetry={"tracer_provider": collected.provider, "metrics": False})
    handlers = {"/classify": {"POST": handle}}
    app.add_middleware(
        Front,
        metrics=Metrics(),
        lifecycle=Lifecycle(60),
        access=Access(Settings(), "127.0.0.1"),
        handlers=handlers,
    )
    scope = {
        **{"type": "http", "method": "POST", "path": "/classify"},
        "headers": [(b"host", b"localhost")],
        **{"query_string": b"", "scheme": "http", "http_version": "1.1"},
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        assert not gone, "nobody is there"

    await app(scope, receive, send)
    (span,) = collected.take().values()
    attributes = dict(span.attributes or {})
    assert attributes["http.route"] == "/classify"
    assert attributes["error.type"] == ("ConnectionError" if gone else "500")
    assert attributes.get("bnn.problem") == (None if gone else "internal")
