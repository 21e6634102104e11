"""Where spans go: to the collector that the standard OTEL_ variables name, if they name one."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_EXPORTER = "OTEL_TRACES_EXPORTER"
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_FLUSH_SECONDS = 3.0
_MISSING = (
    "no traces are sent: expected the OpenTelemetry SDK beside %s; it is not installed. Add the "
    "extra: pip install 'bnn-service[otel]'"
)
_UNKNOWN = "no traces are sent: expected %s to be %s; it is another one. Set it, or leave it out."


@contextmanager
def export_traces(version: str) -> Iterator[None]:
    """Inside, the spans of this process are sent; at the end, for a few seconds, the last ones.

    FastAPI could set this up itself, but waits at the end for as long as a collector that does not
    answer lets it: longer than an orchestrator waits for the service. Nothing is done where
    somebody has set up a provider already, opentelemetry-instrument for one.
    """
    if not (_find(_ENDPOINTS) and _is_nobodys() and _are_wanted()):
        yield
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        _log.warning(_MISSING, _find(_ENDPOINTS))
        yield
        return
    own = Resource.create({"service.name": "bnn-service", "service.version": version})
    provider = TracerProvider(
        resource=own.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        last = threading.Thread(target=provider.shutdown, name="trace-export", daemon=True)
        last.start()
        last.join(_FLUSH_SECONDS)
        if last.is_alive():
            _log.warning("the last traces are lost: the collector does not take them")


def _is_nobodys() -> bool:
    """Whether no provider is set up yet."""
    from opentelemetry import trace

    return isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def _are_wanted() -> bool:
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = os.environ.get(_EXPORTER) or "otlp"
    if exporter not in ("otlp", "none"):
        _log.warning(_UNKNOWN, _EXPORTER, "otlp or none")
    protocol = _find(_PROTOCOLS)
    if protocol is not None and os.environ[protocol] != _PROTOCOL:
        _log.warning(_UNKNOWN, protocol, _PROTOCOL)
        return False
    return exporter == "otlp"


def _find(names: tuple[str, ...]) -> str | None:
    """The first of these variables that has a value."""
    return next((name for name in names if os.environ.get(name)), None)
