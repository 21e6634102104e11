"""Every metric family of the service, in a registry of its own; README.md documents each one."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from runtime import Engine
from service.messages.problems import CLIENT_GONE, PROBLEMS
from service.metrics.system_metrics import SystemCollector

#: Seconds. Fine around a binary network's few milliseconds, coarse above.
BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05),
    *(0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
STAGES = ("receive", "queue", "decode", "preprocess", "infer", "explain")
#: Why a request was refused though nothing was wrong with it.
REJECTIONS = ("queue", "share", "deadline", "bytes", "expired")
#: Problems of requests that are not understood.
MALFORMED = ("malformed_request", "header_timeout", "headers_too_large")
#: Problems of images that were not decoded.
DECODE_FAILURES = ("invalid_image", "out_of_memory", "too_large", "unsupported_format")
UNITS = (1, 2, 4, 8, 16)
#: What may become of a model.
MODEL_CHANGES = ("loaded", "unloaded", "failed")
#: Seconds by which the event loop is late.
LAGS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# A series that begins with its first event hides that event from every rate(): those that alerts
# ask for are there from the start.
_WATCHED_ROUTES = ("/classify", "/classify/batch", "/v2/models/{model}/infer")
_WATCHED_STATUSES = (200, 400, 401, 404, 408, 413, 415, 421, 422, 429, CLIENT_GONE, 500, 503, 504)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_MAX_REASON = 300


class Metrics:
    """The families, and methods that count. One per application; thread-safe."""

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
        for route in _WATCHED_ROUTES:
            for status in _WATCHED_STATUSES:
                self._requests.labels(route, "POST", str(status))
        self._stage_seconds = Histogram(
            "bnn_stage_duration_seconds",
            "Time of one stage of a classification.",
            ("stage",),
            buckets=BUCKETS,
            registry=of,
        )
        self._by_stage = {stage: self._stage_seconds.labels(stage) for stage in STAGES}
        problems = Counter(
            "bnn_problems",
            "Requests answered with a problem; probes are not counted.",
            ("code",),
            registry=of,
        )
        self._problems = {code: problems.labels(code) for code in PROBLEMS}
        self._rejection_family = Counter(
            "bnn_rejections", "Requests refused for lack of room or time.", ("reason",), registry=of
        )
        self._rejections = {reason: self._rejection_family.labels(reason) for reason in REJECTIONS}
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
            "bnn_evicted_connections",
            "Connections closed to make room: idle or stalled ones.",
            registry=of,
        )
        self._units = Histogram(
            "bnn_unit_images", "Images computed together.", buckets=UNITS, registry=of
        )
        self._decode_failures = Counter(
            "bnn_decode_failures", "Images refused by the decoder.", ("code",), registry=of
        )
        for code in DECODE_FAILURES:
            self._decode_failures.labels(code)
        self._lag = Histogram(
            "bnn_event_loop_lag_seconds",
            "How late a timer of the event loop came, ten times a second.",
            buckets=LAGS,
            registry=of,
        )
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
            "bnn_workspace_bytes",
            "Bytes of activations that the engine takes while it computes.",
            registry=of,
        )
        self._engine = Info("bnn_engine", "The engine that answers.", registry=of)
        self._skipped = Gauge(
            "bnn_engine_skipped",
            "1 for each engine that was preferred and could not run.",
            ("engine", "cause", "reason"),
            registry=of,
        )
        self._model = Info("bnn_model", "The default model.", registry=of)
        self._model_images = Counter(
            "bnn_model_images", "Images that were classified, by model.", ("model",), registry=of
        )
        self._unknown_images = Counter(
            "bnn_unknown_images",
            "Images that probably show none of the model's labels, by model.",
            ("model",),
            registry=of,
        )
        changes = Counter(
            "bnn_model_changes", "Models loaded, unloaded, refused.", ("result",), registry=of
        )
        self._model_changes = {result: changes.labels(result) for result in MODEL_CHANGES}
        self._build = Info("bnn_build", "Versions of the service and below.", registry=of)
        ProcessCollector(registry=of)
        self.watch(SystemCollector())

    def watch(self, collector: Collector) -> None:
        """Also publishes the families of a collector, on each request for metrics."""
        self.registry.register(collector)

    def begin_request(self) -> None:
        """Counts a request that has arrived."""
        self._in_flight.inc()

    def end_request(self) -> None:
        """Counts a request that is answered, or whose client has left."""
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

    def read_rejections(self) -> dict[str, int]:
        """Requests refused so far, by reason."""
        samples = (
            sample for family in self._rejection_family.collect() for sample in family.samples
        )
        return {sample.labels["reason"]: int(sample.value) for sample in samples}

    def count_problem(self, code: str) -> None:
        """Counts one request that was answered with this problem."""
        self._problems[code].inc()

    def count_malformed(self, code: str) -> None:
        """Counts bytes that are no request; `code` is one of MALFORMED."""
        self._malformed[code].inc()

    def count_evicted(self) -> None:
        """Counts an idle or stalled connection that was closed to make room."""
        self._evicted.inc()

    def count_dropped(self, images: int) -> None:
        """Counts images that were taken out of the queue because their client had left."""
        self._dropped.inc(images)

    def count_unit(self, images: int) -> None:
        """Counts one image by how many were computed together with it, itself included."""
        self._units.observe(images)

    def count_classified(self, model: str) -> None:
        """Counts one image that this model has classified."""
        self._model_images.labels(model).inc()

    def count_known(self, model: str, is_known: bool) -> None:
        """Counts one image of a model that can say whether it shows a label at all."""
        self._unknown_images.labels(model).inc(0 if is_known else 1)  # 0: the series is there

    def count_model_change(self, result: str) -> None:
        """Counts a model that was loaded, unloaded or refused; `result`: of MODEL_CHANGES."""
        self._model_changes[result].inc()

    def count_decode_failure(self, code: str) -> None:
        """Counts one refused image by its problem code."""
        self._decode_failures.labels(code).inc()

    def count_lag(self, seconds: float) -> None:
        """Counts a delay of the event loop."""
        self._lag.observe(seconds)

    def describe_build(self, versions: dict[str, str]) -> None:
        """Publishes the versions; names become labels."""
        self._build.info({name.replace("-", "_"): value for name, value in versions.items()})

    def describe_start(self, phase: str, seconds: float) -> None:
        """Publishes how long a phase of the start took."""
        self._startup.labels(phase).set(seconds)

    def describe_engine(self, engine: Engine, model_id: str) -> None:
        """Publishes the default model, its memory, and the skipped engines."""
        manifest = engine.bundle.manifest
        for family in (self._skipped, self._model_files):  # of the one before
            family.clear()
        self._engine.info({"engine": engine.name, "implementation": engine.implementation})
        for skipped in engine.skipped:
            reason = skipped.reason[:_MAX_REASON]
            self._skipped.labels(skipped.name, skipped.cause, reason).set(1)
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

    def expose(self, accept: str) -> tuple[bytes, str]:
        """All families as (body, content type); OpenMetrics if `accept` asks for it."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
