"""service.metrics.metrics: what is counted, that each family is documented, and promtool's
opinion.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_open_metrics,
)
from prometheus_client.parser import text_string_to_metric_families

import service
from runtime import SkippedEngine
from service.app import create_app
from service.messages.problems import CLIENT_GONE, PROBLEMS
from service.metrics.metrics import DECODE_FAILURES, LAGS, MALFORMED, REJECTIONS, STAGES, Metrics
from service.settings.settings import MAX_DEADLINE_MS, Settings
from service.work.live_metrics import ConnectionCollector

README = (Path(service.__file__).parent / "README.md").read_text()


def make_metrics(make_engine: Any) -> Metrics:
    """Every family of a service, with at least one value where this machine has one."""
    metrics: Metrics = create_app(Settings(), make_engine()).state.metrics
    metrics.watch(ConnectionCollector(lambda: [], 512))
    engine = make_engine()
    engine.skipped = (SkippedEngine("torchscript", 'torch "2.13"\nis missing' + "!" * 1000),)
    metrics.describe_engine(engine, "abc")
    metrics.describe_start("load", 0.5)
    metrics.count_request("/classify", "POST", 200, 0.004)
    metrics.count_request("/classify", "POST", 200, 0.002)
    metrics.count_request("unmatched", "BREW", 404, 0.004)
    metrics.count_stage("decode", 0.003)
    metrics.count_unit(4)
    metrics.count_lag(0.3)
    metrics.count_decode_failure("invalid_image")
    metrics.count_classified("tiny")
    return metrics


def read_values(metrics: Metrics) -> dict[str, float]:
    """Sample -> value."""
    text = metrics.expose("")[0].decode()
    rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {sample: float(value) for sample, _, value in rows}


def test_counts(make_engine: Any) -> None:
    values = read_values(make_metrics(make_engine))
    request = '{method="POST",route="/classify",status="200"}'
    assert values[f"bnn_requests_total{request}"] == 2
    assert values[f"bnn_request_duration_seconds_sum{request}"] == 0.006
    assert values['bnn_requests_total{method="other",route="unmatched",status="404"}'] == 1
    assert values['bnn_stage_duration_seconds_bucket{le="0.0025",stage="decode"}'] == 0
    assert values['bnn_stage_duration_seconds_bucket{le="0.005",stage="decode"}'] == 1
    assert values['bnn_stage_duration_seconds_count{stage="infer"}'] == 0
    assert values['bnn_decode_failures_total{code="invalid_image"}'] == 1
    assert values['bnn_unit_images_bucket{le="2.0"}'] == 0
    assert values['bnn_unit_images_bucket{le="4.0"}'] == 1
    assert values['bnn_event_loop_lag_seconds_bucket{le="0.25"}'] == 0
    assert values['bnn_event_loop_lag_seconds_bucket{le="0.5"}'] == 1
    assert values['bnn_engine_info{engine="native",implementation="generic"}'] == 1
    assert values['bnn_model_info{format="3",id="abc",name="tiny",trained="true"}'] == 1
    assert values['bnn_model_file_bytes{file="model.onnx"}'] == 1234
    assert (values["bnn_model_bytes"], values["bnn_workspace_bytes"]) == (1234, 5678)
    assert values['bnn_startup_seconds{phase="load"}'] == 0.5
    skipped = next(name for name in values if name.startswith("bnn_engine_skipped"))
    assert 'cause="failed",engine="torchscript"' in skipped
    assert len(skipped) < 400


def test_counts_of_refusals_and_losses() -> None:
    metrics = Metrics()
    metrics.count_rejection("queue")
    metrics.count_malformed("header_timeout")
    metrics.count_evicted()
    metrics.count_dropped(0)
    metrics.count_dropped(2)
    metrics.count_unit(1)
    metrics.count_unit(4)
    metrics.begin_request()
    metrics.begin_request()
    metrics.end_request()
    values = read_values(metrics)
    assert values['bnn_rejections_total{reason="queue"}'] == 1
    assert values['bnn_malformed_requests_total{code="header_timeout"}'] == 1
    assert values["bnn_evicted_connections_total"] == 1
    assert values["bnn_dropped_images_total"] == 2
    assert values['bnn_unit_images_bucket{le="1.0"}'] == 1
    assert values['bnn_unit_images_bucket{le="4.0"}'] == values["bnn_unit_images_count"] == 2
    assert values["bnn_requests_in_flight"] == 1


def test_what_never_happened_is_counted_as_zero() -> None:
    """An alert on a rate needs the series to be there before the first event."""
    values = read_values(Metrics())
    for name in ("bnn_dropped_images_total", "bnn_evicted_connections_total"):
        assert values[name] == 0
    assert all(values[f'bnn_rejections_total{{reason="{reason}"}}'] == 0 for reason in REJECTIONS)
    assert all(values[f'bnn_malformed_requests_total{{code="{code}"}}'] == 0 for code in MALFORMED)
    stages = [f'bnn_stage_duration_seconds_count{{stage="{stage}"}}' for stage in STAGES]
    assert all(values[stage] == 0 for stage in stages)


def test_every_reason_of_a_rejection_is_one_that_the_service_gives() -> None:
    given = re.compile(r'(?:refuse|count_rejection)\(\s*"(\w+)"')
    sources = (source.read_text() for source in Path(service.__file__).parent.rglob("*.py"))
    assert {reason for source in sources for reason in given.findall(source)} == set(REJECTIONS)


def test_what_alerts_ask_for_is_there_before_the_first_event() -> None:
    values = read_values(Metrics())
    labels = {
        "bnn_problems_total": [("code", code) for code in PROBLEMS],
        "bnn_rejections_total": [("reason", reason) for reason in REJECTIONS],
        "bnn_decode_failures_total": [("code", code) for code in DECODE_FAILURES],
    }
    for family, pairs in labels.items():
        for name, value in pairs:
            assert values[f'{family}{{{name}="{value}"}}'] == 0
    # Of every status that a classification can end with.
    others = {"not_found", "method_not_allowed", "header_timeout", "headers_too_large", "forbidden"}
    statuses = {PROBLEMS[code].status for code in PROBLEMS.keys() - others} | {200, CLIENT_GONE}
    for route in ("/classify", "/classify/batch"):
        found = {
            int(match[1])
            for name, value in values.items()
            if (match := re.search(rf'requests_total.*"POST",route="{route}",status="(\d+)"', name))
            and value == 0
        }
        assert found == statuses


def test_rejections_are_read_by_reason() -> None:
    metrics = Metrics()
    metrics.count_rejection("queue")
    metrics.count_rejection("queue")
    metrics.count_rejection("expired")
    assert metrics.read_rejections() == dict.fromkeys(REJECTIONS, 0) | {"queue": 2, "expired": 1}


def test_no_duration_that_can_occur_is_above_every_bucket(make_engine: Any) -> None:
    families = {family.name: family for family in make_metrics(make_engine).registry.collect()}
    for name in ("bnn_request_duration_seconds", "bnn_stage_duration_seconds"):
        bounds = [
            float(sample.labels["le"])
            for sample in families[name].samples
            if sample.name.endswith("_bucket") and sample.labels["le"] != "+Inf"
        ]
        assert max(bounds) >= MAX_DEADLINE_MS / 1000
    assert list(LAGS) == sorted(LAGS)


def test_every_family_is_documented_and_no_other(make_engine: Any) -> None:
    metrics = make_metrics(make_engine)
    families = {family.name: family for family in metrics.registry.collect()}
    documented = set(re.findall(r"^\| `((?:bnn|process)_\w+)` \|", README, re.MULTILINE))
    assert documented == families.keys()
    exposed = {
        re.sub(r"_(total|info)$", "", family.name)
        for family in text_string_to_metric_families(metrics.expose("")[0].decode())
    }
    assert exposed == families.keys(), "for instance a _created series"


def test_documented_labels_are_the_exposed_ones(make_engine: Any) -> None:
    rows = re.findall(r"^\| `((?:bnn|process)_\w+)` \|[^|]*\|([^|]*)\|", README, re.MULTILINE)
    documented = {name: set(re.findall(r"\w+", labels)) for name, labels in rows}
    for family in make_metrics(make_engine).registry.collect():
        if family.name == "bnn_build":  # a label for each package
            continue
        found = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert not family.samples or found == documented[family.name], family.name


def test_no_family_is_there_twice(make_engine: Any) -> None:
    names = [family.name for family in make_metrics(make_engine).registry.collect()]
    assert len(names) == len(set(names))


def test_two_applications_do_not_share_families() -> None:
    first, second = Metrics(), Metrics()
    first.count_stage("infer", 1)
    assert read_values(second)['bnn_stage_duration_seconds_count{stage="infer"}'] == 0


def test_open_metrics_are_negotiated_and_strict(make_engine: Any) -> None:
    metrics = make_metrics(make_engine)
    body, content_type = metrics.expose("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    parsed = {family.name: family for family in parse_open_metrics(body.decode())}
    assert parsed.keys() == {family.name for family in metrics.registry.collect()}
    assert all(family.documentation for family in parsed.values())
    assert metrics.expose("*/*")[1].startswith("text/plain")


def test_promtool_finds_no_fault(make_engine: Any) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing: install the package prometheus (make system-test-tools)")
    text = make_metrics(make_engine).expose("")[0]
    result = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == b""


@pytest.mark.anyio
async def test_answers_with_problems_are_counted_but_those_of_probes(
    connect: Any, make_engine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "service.requests")
    async with connect(Settings(), make_engine()) as client:
        for _ in range(2):
            await client.post("/classify", content=b"GIF89a, no image")
        await client.post("/livez")
        await client.get("/nothing")
        lines = (await client.get("/metrics")).text.splitlines()
    found = [line for line in lines if line.startswith("bnn_problems_total") and line[-3:] != "0.0"]
    assert found == [
        'bnn_problems_total{code="not_found"} 1.0',
        'bnn_problems_total{code="unsupported_format"} 2.0',
    ]
    codes = [getattr(record, "code", None) for record in caplog.records]
    assert codes == ["unsupported_format", "unsupported_format", "not_found"]


@pytest.mark.anyio
async def test_a_slow_request_says_where_the_time_went(
    connect: Any,
    make_engine: Any,
    make_image: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "service.requests")
    async with connect(Settings(), make_engine()) as client:
        answer = await client.post("/classify", content=make_image())
        monkeypatch.setattr("service.requests.front._SLOW_SECONDS", 0.0)
        slow = await client.post("/classify", content=make_image())
    assert answer.status_code == slow.status_code == 200
    stages = [getattr(record, "stages_ms", None) for record in caplog.records]
    assert stages[1] == slow.json()["timings_ms"]
    assert stages[0] is None or answer.elapsed.total_seconds() > 1
