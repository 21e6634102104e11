"""Every metric family of the service, in a registry of its own; README.md documents each one."""

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from runtime import Engine
from service.memory import MemoryReader

#: Seconds. Fine around a binary network's few milliseconds, coarse above.
BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05),
    *(0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
STAGES = ("receive", "queue", "decode", "preprocess", "infer")
#: Why a request was refused though nothing was wrong with it.
REJECTIONS = ("queue", "share", "deadline", "bytes", "connections", "expired")
#: Problems of requests that are not understood.
MALFORMED = ("malformed_request", "header_timeout", "headers_too_large")
UNITS = (1, 2, 4, 8, 16)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_LONGEST_REASON = 300


class _MemoryCollector(Collector):
    def __init__(self, read: MemoryReader) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "bnn_process_memory_bytes", "Memory of this process by kind.", labels=["kind"]
        )
        for kind, size in self._read().items():
            family.add_metric([kind], size)
        yield family


class Metrics:
    """The families and how to count into them. One per application; thread-safe."""

    def __init__(self) -> None:
        # A time series per histogram and counter that nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        of = self.registry
        request = ("route", "method", "status")
        self._requests = Counter("bnn_requests", "Answered requests.", request, registry=of)
        self._request_seconds = Histogram(
            "bnn_request_duration_seconds",
            "Time from a request's first byte to its answer's last.",
            request,
            buckets=BUCKETS,
            registry=of,
        )
        self._in_flight = Gauge("bnn_requests_in_flight", "Requests being answered.", registry=of)
        self._by_request: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._stage_seconds = Histogram(
            "bnn_stage_duration_seconds",
            "Time of one stage of a classification.",
            ("stage",),
            buckets=BUCKETS,
            registry=of,
        )
        self._by_stage = {stage: self._stage_seconds.labels(stage) for stage in STAGES}
        rejections = Counter(
            "bnn_rejections", "Requests refused for lack of room or time.", ("reason",), registry=of
        )
        self._rejections = {reason: rejections.labels(reason) for reason in REJECTIONS}
        self._dropped = Counter(
            "bnn_dropped_images", "Images not computed: their client had left.", registry=of
        )
        malformed = Counter(
            "bnn_malformed_requests",
            "Connections ended over bytes that are no request, by problem.",
            ("code",),
            registry=of,
        )
        self._malformed = {code: malformed.labels(code) for code in MALFORMED}
        self._evicted = Counter(
            "bnn_evicted_connections", "Idle connections closed to make room.", registry=of
        )
        self._units = Histogram(
            "bnn_unit_images", "Images computed together.", buckets=UNITS, registry=of
        )
        self._decode_failures = Counter(
            "bnn_decode_failures", "Pictures refused by the decoder.", ("code",), registry=of
        )
        self._ready = Gauge("bnn_ready", "1 when the model is loaded and warm.", registry=of)
        self._startup = Gauge(
            "bnn_startup_seconds", "Time of one phase of the start.", ("phase",), registry=of
        )
        self._model_files = Gauge(
            "bnn_model_file_bytes", "Bytes of a file of the bundle.", ("file",), registry=of
        )
        self._model_bytes = Gauge(
            "bnn_model_bytes", "Bytes of the files that the engine reads.", registry=of
        )
        self._workspace = Gauge(
            "bnn_workspace_bytes", "Bytes of activations set aside by the engine.", registry=of
        )
        self._engine = Info("bnn_engine", "The engine that answers.", registry=of)
        self._skipped = Gauge(
            "bnn_engine_skipped",
            "1 for each engine that was preferred and could not run.",
            ("engine", "reason"),
            registry=of,
        )
        self._model = Info("bnn_model", "The model that is served.", registry=of)
        self._build = Info("bnn_build", "Versions of the service and below.", registry=of)
        of.register(_MemoryCollector(MemoryReader()))

    def begin_request(self) -> None:
        """A request has come."""
        self._in_flight.inc()

    def end_request(self) -> None:
        """It is answered, or its client gone."""
        self._in_flight.dec()

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts one answered request; the route is the template, never the path as sent."""
        key = (route, method if method in _METHODS else "other", status)
        found = self._by_request.get(key)
        if found is None:
            values = (key[0], key[1], str(status))
            found = (self._requests.labels(*values), self._request_seconds.labels(*values))
            self._by_request[key] = found
        found[0].inc()
        found[1].observe(seconds)

    def count_stage(self, stage: str, seconds: float) -> None:
        """Counts one run of a stage; `stage` is one of STAGES."""
        self._by_stage[stage].observe(seconds)

    def count_rejection(self, reason: str) -> None:
        """Counts one refused request; `reason` is one of REJECTIONS."""
        self._rejections[reason].inc()

    def count_malformed(self, code: str) -> None:
        """Counts bytes that are no request; `code` is one of MALFORMED."""
        self._malformed[code].inc()

    def count_evicted(self) -> None:
        """Counts an idle connection that was closed to make room."""
        self._evicted.inc()

    def count_dropped(self, images: int) -> None:
        """Counts images that were taken out of the queue because their client had left."""
        self._dropped.inc(images)

    def count_unit(self, images: int) -> None:
        """Counts one image by how many were computed together with it, itself included."""
        self._units.observe(images)

    def count_decode_failure(self, code: str) -> None:
        """Counts one refused picture by its problem code."""
        self._decode_failures.labels(code).inc()

    def describe_build(self, versions: dict[str, str]) -> None:
        """Publishes the versions; names become labels."""
        self._build.info({name.replace("-", "_"): value for name, value in versions.items()})

    def describe_start(self, phase: str, seconds: float) -> None:
        """Publishes how long a phase of the start took."""
        self._startup.labels(phase).set(seconds)

    def describe_engine(self, engine: Engine, model_id: str) -> None:
        """Publishes what answers, what it costs, and what was passed over; sets ready."""
        manifest = engine.bundle.manifest
        self._engine.info({"engine": engine.name, "implementation": engine.implementation})
        for skipped in engine.skipped:
            self._skipped.labels(skipped.name, skipped.reason[:_LONGEST_REASON]).set(1)
        self._model.info(
            {
                "name": manifest.name,
                "id": model_id,
                "format": str(manifest.format),
                "trained": str(manifest.trained).lower(),
            }
        )
        for name, entry in manifest.files.items():
            self._model_files.labels(name).set(entry.bytes)
        self._model_bytes.set(engine.model_bytes)
        self._workspace.set(engine.workspace_bytes)
        self._ready.set(1)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """All families as (body, content type); OpenMetrics where `accept` asks for it."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
