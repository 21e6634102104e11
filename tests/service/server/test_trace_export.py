"""service.server.trace_export: a real service sends to a real receiver, or is told why it does
not.
"""

import gzip
import http.server
import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from service.server import trace_export

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Receiver:
    """OTLP over HTTP: keeps the spans that are sent to it."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces", "nothing else is sent"
                receiver.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource_spans in request.resource_spans:
            pairs = resource_spans.resource.attributes
            self.resources.append({pair.key: pair.value.string_value for pair in pairs})
            for scope_spans in resource_spans.scope_spans:
                self.spans.extend(scope_spans.spans)

    def list_below(self, parent: Any) -> list[Any]:
        """The spans whose parent this one is."""
        return [span for span in self.spans if span.parent_span_id == parent.span_id]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def read_attributes(span: Any) -> dict[str, Any]:
    values = {pair.key: pair.value for pair in span.attributes}
    return {name: getattr(value, value.WhichOneof("value")) for name, value in values.items()}


def list_names(spans: list[Any]) -> list[str]:
    return sorted(span.name for span in spans)


@pytest.fixture(autouse=True)
def no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own collector is left alone."""
    for name in (*trace_export._ENDPOINTS, *trace_export._PROTOCOLS, trace_export._EXPORTER):
        monkeypatch.delenv(name, raising=False)
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def test_a_traced_service(
    receiver: Receiver, start_server: Any, bundle: Path, make_image: Callable[..., bytes]
) -> None:
    server = start_server(
        BNN_BUNDLE=str(bundle),
        BNN_DRAIN_DELAY_MS="0",
        BNN_LOG_FORMAT="json",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
    )
    url = server.wait_until_ready()
    traced = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    with httpx.Client(base_url=url) as client:
        good = client.post("/classify", content=make_image(), headers=traced)
        bad = client.post("/classify", content=b"GIF89a, no image")
        form = [("image", ("a.jpg", make_image())), ("image", ("b.jpg", b"no image"))]
        batch = client.post("/classify/batch", files=form)
        info, lost = client.get("/info"), client.get("/nothing/here")
        for path in ("/livez", "/readyz", "/metrics"):
            client.get(path, headers=traced)
    answers = (good, bad, batch, info, lost)
    assert [answer.status_code for answer in answers] == [200, 415, 200, 200, 404]
    log = server.stop()  # what is not sent yet is sent before the end
    assert server.process.returncode == 0
    assert {resource["service.name"] for resource in receiver.resources} == {"bnn-service"}

    servers = [span for span in receiver.spans if span.kind == Span.SPAN_KIND_SERVER]
    assert list_names(servers) == sorted(
        ["GET", "GET /info", "POST /classify", "POST /classify", "POST /classify/batch"]
    )
    (parent,) = (span for span in servers if span.parent_span_id.hex() == CALLER)
    assert parent.trace_id.hex() == TRACE
    attributes = read_attributes(parent)
    assert attributes["http.route"] == "/classify"
    assert attributes["http.response.status_code"] == 200
    assert attributes["http.request.method"] == "POST"
    stages = receiver.list_below(parent)
    assert list_names(stages) == ["decode", "infer", "preprocess", "queue", "receive"]
    for span in stages:
        assert span.trace_id == parent.trace_id
        assert parent.start_time_unix_nano <= span.start_time_unix_nano
        assert span.end_time_unix_nano <= parent.end_time_unix_nano

    problems = {read_attributes(span).get("bnn.problem"): span for span in servers}
    assert problems.keys() == {None, "unsupported_format", "not_found"}
    refused = problems["unsupported_format"]
    assert refused.status.code != Status.STATUS_CODE_ERROR, "the caller's fault is not ours"
    (many,) = (span for span in servers if span.name == "POST /classify/batch")
    assert list_names(receiver.list_below(many)) == sorted(
        ["receive", "queue", "queue", "decode", "preprocess", "infer"]
    )

    lines = [json.loads(line) for line in log.splitlines()]
    by_request = {line["request_id"]: line for line in lines if line["message"] == "answered"}
    line = by_request[good.headers["x-request-id"]]
    assert line["trace_id"] == TRACE
    assert line["parent_span_id"] == CALLER
    assert line["span_id"] == parent.span_id.hex()
    line = by_request[bad.headers["x-request-id"]]
    assert line["code"] == "unsupported_format"
    assert line["trace_id"] == refused.trace_id.hex()
    assert "parent_span_id" not in line


def test_a_collector_that_never_answers_holds_up_the_end_for_seconds_only(
    start_server: Any, bundle: Path, make_image: Callable[..., bytes]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections are taken, nothing more
        server = start_server(
            BNN_BUNDLE=str(bundle),
            BNN_DRAIN_DELAY_MS="0",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}",
            OTEL_EXPORTER_OTLP_TIMEOUT="600",
        )
        url = server.wait_until_ready()
        assert httpx.post(f"{url}/classify", content=make_image()).status_code == 200
        log = server.stop()  # which waits for a minute
    assert server.process.returncode == 0
    assert "the last traces are lost" in log


def run_export(environment: dict[str, str], without_sdk: bool = False) -> str:
    """The log of an export that begins and ends, in a process of its own."""
    hide = "sys.modules['opentelemetry.sdk'] = None\n" if without_sdk else ""
    program = (
        "import logging, sys\n"
        "logging.basicConfig(format='%(levelname)s %(message)s')\n"
        + hide
        + "from opentelemetry import trace\n"
        "from service.server.trace_export import export_traces\n"
        "with export_traces('1'):\n"
        "    provider = trace.get_tracer_provider()\n"
        "    print(type(provider).__name__)\n"
        "    if hasattr(provider, 'resource'):\n"
        "        print(provider.resource.attributes['service.name'])\n"
        "        print(provider.resource.attributes['service.version'])\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(trace_export.__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return answer.stdout + answer.stderr


URL = "http://127.0.0.1:9"  # nobody is there; nothing is sent


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "ProxyTracerProvider\n"),
        ({ENDPOINT: ""}, "ProxyTracerProvider\n"),
        ({ENDPOINT: URL, "OTEL_SDK_DISABLED": "True"}, "ProxyTracerProvider\n"),
        ({ENDPOINT: URL, "OTEL_TRACES_EXPORTER": "none"}, "ProxyTracerProvider\n"),
        ({ENDPOINT: URL}, "TracerProvider\nbnn-service\n1\n"),
        ({ENDPOINT: URL, "OTEL_SERVICE_NAME": "mine"}, "TracerProvider\nmine\n1\n"),
        (
            {ENDPOINT: URL, "OTEL_RESOURCE_ATTRIBUTES": "service.name=x,service.version=2"},
            "TracerProvider\nx\n2\n",
        ),
    ],
)
def test_the_standard_variables_decide(environment: dict[str, str], expected: str) -> None:
    assert run_export(environment) == expected


@pytest.mark.parametrize(
    ("environment", "without_sdk", "said"),
    [
        ({ENDPOINT: URL}, True, "bnn-service[otel]"),
        ({ENDPOINT: URL, "OTEL_TRACES_EXPORTER": "zipkin"}, False, "OTEL_TRACES_EXPORTER"),
        ({ENDPOINT: URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False, "http/protobuf"),
    ],
)
def test_what_keeps_traces_from_being_sent_is_said(
    environment: dict[str, str], without_sdk: bool, said: str
) -> None:
    kind, warning = run_export(environment, without_sdk).splitlines()
    assert kind == "ProxyTracerProvider"
    assert warning.startswith("WARNING no traces are sent: expected")
    assert said in warning


def test_without_the_sdk_and_an_endpoint_nothing_is_said() -> None:
    assert run_export({}, without_sdk=True) == "ProxyTracerProvider\n"


def test_somebody_elses_provider_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = trace.NoOpTracerProvider()
    monkeypatch.setenv(ENDPOINT, URL)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: theirs)
    monkeypatch.setattr(trace, "set_tracer_provider", pytest.fail)
    with caplog.at_level(logging.DEBUG), trace_export.export_traces("1"):
        pass
    assert caplog.records == []
