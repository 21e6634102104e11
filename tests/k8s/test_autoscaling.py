"""Scaling: the HorizontalPodAutoscaler finds its Deployment, and the adapter the queue's metric."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings.settings import Settings
from tests.exposed import list_samples
from tests.k8s.rendering import MANIFESTS, Rendered, render
from tests.promql import list_metrics

QUEUE = ("overlays/cloud", "autoscaling-queue", "bundle-volume", "monitoring")


@pytest.fixture(scope="module")
def rule() -> dict[str, Any]:
    """The adapter's one rule."""
    path = MANIFESTS / "components" / "autoscaling-queue" / "adapter.yaml"
    (rule,) = yaml.safe_load(path.read_text())["rules"]["custom"]
    found: dict[str, Any] = rule
    return found


def fill(query: str) -> str:
    """The adapter's template, as it asks about two pods."""
    filled = {
        "<<.Series>>": "bnn_queue_images",
        "<<.LabelMatchers>>": 'namespace="n",pod=~"a|b"',
        "<<.GroupBy>>": "pod",
    }
    for name, text in filled.items():
        assert name in query
        query = query.replace(name, text)
    assert "<<" not in query
    return query


def test_it_scales_the_deployment(rendered: Rendered) -> None:
    deployment = rendered.only("Deployment")
    scalers = rendered.find("HorizontalPodAutoscaler")
    # Two would fight over the number, and so would an autoscaler and `kubectl apply`.
    assert len(scalers) + ("replicas" in deployment["spec"]) == 1
    for scaler in scalers:
        assert scaler["spec"]["scaleTargetRef"] == {
            "apiVersion": deployment["apiVersion"],
            "kind": deployment["kind"],
            "name": deployment["metadata"]["name"],
        }
        assert 2 <= scaler["spec"]["minReplicas"] < scaler["spec"]["maxReplicas"]


def test_cpu_is_always_among_the_reasons() -> None:
    for variant in (("overlays/cloud",), QUEUE):
        metrics = render(variant).only("HorizontalPodAutoscaler")["spec"]["metrics"]
        assert metrics[0]["resource"]["name"] == "cpu"
        assert "cpu" in render(variant).container["resources"]["requests"]


def test_the_queue_is_scaled_by_long_before_it_is_full(rule: dict[str, Any]) -> None:
    _, queue = render(QUEUE).only("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert queue["pods"]["metric"]["name"] == rule["name"]["as"]
    target = int(queue["pods"]["target"]["averageValue"])
    assert 1 <= target <= Settings().queue_images / 4


def test_the_adapter_asks_for_what_the_service_exposes(rule: dict[str, Any]) -> None:
    for query in (rule["seriesQuery"], fill(rule["metricsQuery"])):
        assert list_metrics(query) == {"bnn_queue_images"} <= list_samples()


def test_the_adapter_counts_waiting_images_of_each_pod(
    rule: dict[str, Any], tmp_path: Path
) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing: install the package prometheus (make system-test-tools)")

    def name(pod: str, state: str) -> str:
        return f'bnn_queue_images{{namespace="n",pod="{pod}",state="{state}"}}'

    series = {
        name("a", "waiting"): "4 8 4 8 4 8 4 8 4 8 4 8",
        name("a", "arriving"): "99x12",
        name("b", "waiting"): "0x12",
        name("c", "waiting"): "50x12",
    }
    test = {
        "interval": "15s",
        "input_series": [{"series": key, "values": text} for key, text in series.items()],
        "promql_expr_test": [
            {
                # between two scrapes: the last minute has two of each
                "expr": fill(rule["metricsQuery"]),
                "eval_time": "2m10s",
                "exp_samples": [
                    {"labels": '{pod="a"}', "value": 6},
                    {"labels": '{pod="b"}', "value": 0},
                ],
            }
        ],
    }
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({"tests": [test]}))
    answer = subprocess.run(
        [promtool, "test", "rules", tmp_path / "plan.yaml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
