"""The monitoring component: the operator gets the same rules, job and dashboard as Prometheus."""

import json
import subprocess
from typing import Any

import pytest
import yaml

from tests.k8s.rendering import (
    MANIFESTS,
    ROOT,
    VARIANTS,
    Rendered,
    name_variant,
    print_recipe,
    render,
)

FOLDER = MANIFESTS / "components" / "monitoring"
MONITORED = [variant for variant in VARIANTS if "monitoring" in variant]
MAX_ANNOTATION = 256 * 2**10  # which client-side apply keeps a copy of each object in


@pytest.fixture(params=MONITORED, ids=name_variant)
def monitored(request: pytest.FixtureRequest) -> Rendered:
    return render(request.param)


def test_the_operator_scrapes_the_service(monitored: Rendered) -> None:
    monitor, service = monitored.only("ServiceMonitor")["spec"], monitored.only("Service")
    assert monitor["selector"]["matchLabels"] == service["metadata"]["labels"]
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]
    assert endpoint["path"] == "/metrics"
    assert endpoint["interval"] == "15s"


def test_the_job_is_the_one_that_the_alerts_ask_for(monitored: Rendered) -> None:
    label = monitored.only("ServiceMonitor")["spec"]["jobLabel"]
    job = monitored.only("Service")["metadata"]["labels"][label]
    rules = [rule for each in monitored.find("PrometheusRule") for rule in list_rules(each["spec"])]
    (down,) = (rule for rule in rules if rule["alert"] == "BnnInstanceDown")
    assert f'up{{job="{job}"}}' in down["expr"]


def list_rules(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for group in content["groups"] for rule in group["rules"]]


def read_rules() -> list[dict[str, Any]]:
    """As Prometheus reads them, a document for each file."""
    files = sorted((FOLDER / "rules").glob("*.yaml"))
    assert files
    return [yaml.safe_load(file.read_text()) for file in files]


def test_the_operators_rules_are_those_of_prometheus() -> None:
    made = yaml.safe_load_all((FOLDER / "prometheusrules.yaml").read_text())
    assert [one["spec"] for one in made] == read_rules(), "make prometheus-rules"


def join_words(content: Any) -> Any:
    """Content with one space wherever its texts have white space."""
    if isinstance(content, dict):
        return {key: join_words(value) for key, value in content.items()}
    if isinstance(content, list):
        return [join_words(value) for value in content]
    return " ".join(content.split()) if isinstance(content, str) else content


def test_the_operator_gets_all_rules(monitored: Rendered) -> None:
    """But for line ends: kustomize doubles them before indented lines of folded texts."""
    found = sorted(monitored.find("PrometheusRule"), key=lambda one: one["metadata"]["name"])
    assert [join_words(one["spec"]) for one in found] == join_words(read_rules())


def test_the_operators_rules_are_made_by_make() -> None:
    """What the recipe prints is the file, so nobody has changed it by hand."""
    path = FOLDER / "prometheusrules.yaml"
    before = path.read_bytes()
    recipe = print_recipe("--always-make", "prometheus-rules")
    script, redirected, rest = recipe.rpartition(f" > {path.relative_to(ROOT)}")
    assert redirected
    assert not rest.strip()
    printed = subprocess.run(["sh", "-c", script], cwd=ROOT, capture_output=True, check=True)
    assert printed.stdout == before, "make prometheus-rules"


def test_grafana_gets_the_dashboard(monitored: Rendered) -> None:
    config = monitored.only("ConfigMap")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    ((name, text),) = config["data"].items()
    assert name.endswith(".json")
    assert json.loads(text) == json.loads((FOLDER / "dashboard.json").read_text())
    assert len(json.dumps(config)) < MAX_ANNOTATION
