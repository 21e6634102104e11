"""service.metrics: what is counted, that each family is documented, and promtool's opinion."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import service
from runtime import SkippedEngine
from service.metrics import Metrics, RequestLabels

README = (Path(service.__file__).parent / "README.md").read_text()


def make_metrics(make_engine: Any) -> Metrics:
    """Every family with at least one value."""
    metrics = Metrics()
    engine = make_engine()
    engine.skipped = (SkippedEngine("torchscript", 'torch "2.13"\nis missing' + "!" * 1000),)
    metrics.describe_build({"service": "1", "python": "3"})
    metrics.describe_engine(engine, "abc")
    metrics.describe_start("load", 0.5)
    metrics.count_request(RequestLabels("/classify", "POST", 200), 0.004)
    metrics.count_request(RequestLabels("unmatched", "BREW", 404), 0.004)
    metrics.count_stage("decode", 0.003)
    metrics.count_decode_failure("invalid_image")
    return metrics


def read_values(metrics: Metrics) -> dict[str, float]:
    """Sample -> value."""
    text = metrics.expose("")[0].decode()
    rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {sample: float(value) for sample, _, value in rows}


def test_counts(make_engine: Any) -> None:
    values = read_values(make_metrics(make_engine))
    request = '{method="POST",route="/classify",status="200"}'
    assert values[f"bnn_requests_total{request}"] == 1
    assert values[f"bnn_request_duration_seconds_sum{request}"] == 0.004
    assert values['bnn_requests_total{method="other",route="unmatched",status="404"}'] == 1
    assert values['bnn_stage_duration_seconds_bucket{le="0.0025",stage="decode"}'] == 0
    assert values['bnn_stage_duration_seconds_bucket{le="0.005",stage="decode"}'] == 1
    assert values['bnn_stage_duration_seconds_count{stage="infer"}'] == 0
    assert values['bnn_decode_failures_total{code="invalid_image"}'] == 1
    assert values['bnn_engine_info{engine="native",implementation="generic"}'] == 1
    assert values['bnn_model_info{format="2",id="abc",name="tiny",trained="true"}'] == 1
    assert values['bnn_model_file_bytes{file="model.onnx"}'] == 1234
    assert (values["bnn_model_bytes"], values["bnn_workspace_bytes"]) == (1234, 5678)
    assert values['bnn_startup_seconds{phase="load"}'] == 0.5
    assert values["bnn_ready"] == 1
    skipped = next(name for name in values if name.startswith("bnn_engine_skipped"))
    assert 'engine="torchscript"' in skipped
    assert len(skipped) < 400


def test_memory_is_reported() -> None:
    values = read_values(Metrics())
    assert values["bnn_ready"] == 0
    kinds = set(re.findall(r'bnn_process_memory_bytes{kind="(\w+)"}', "\n".join(values)))
    assert kinds in ({"rss", "pss", "anonymous", "peak"}, set())


def test_every_family_is_documented_and_no_other(make_engine: Any) -> None:
    metrics = make_metrics(make_engine)
    families = {family.name for family in metrics.registry.collect()}
    documented = set(re.findall(r"^\| `(bnn_\w+)` \|", README, re.MULTILINE))
    assert documented == families
    exposed = {
        re.sub(r"_(total|info)$", "", family.name)
        for family in text_string_to_metric_families(metrics.expose("")[0].decode())
    }
    assert exposed == families, "for instance a _created series"


def test_two_applications_do_not_share_families() -> None:
    first, second = Metrics(), Metrics()
    first.count_stage("infer", 1)
    assert read_values(second)['bnn_stage_duration_seconds_count{stage="infer"}'] == 0


def test_open_metrics_are_negotiated(make_engine: Any) -> None:
    metrics = make_metrics(make_engine)
    body, content_type = metrics.expose("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
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
