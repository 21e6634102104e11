"""The component for KServe: the pod of the base, and fields that KServe's own models know."""

import copy
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s.rendering import KSERVE, ROOT, Rendered, render
from tests.service.oip.clients import find_client

# Of KServe's own, beside those of a pod.
OWN = {"labels", "minReplicas", "maxReplicas"}
# Arguments: the predictor as JSON. Prints fields that neither KServe's nor a pod's models have.
CHECK = """
import json, sys
from kserve import V1beta1InferenceService, V1beta1InferenceServiceSpec, V1beta1PredictorSpec
from kubernetes.client import V1Container

service = json.loads(sys.argv[1])

def find(model, content):
    return [key for key in content if key not in model.attribute_map.values()]

predictor = service["spec"]["predictor"]
print(json.dumps([
    *find(V1beta1InferenceService, service),
    *find(V1beta1InferenceServiceSpec, service["spec"]),
    *find(V1beta1PredictorSpec, predictor),
    *find(V1Container, predictor["containers"][0]),
]))
"""


@pytest.fixture
def rendered() -> Rendered:
    return render(KSERVE)


@pytest.fixture
def predictor(rendered: Rendered) -> dict[str, Any]:
    found: dict[str, Any] = rendered.only("InferenceService")["spec"]["predictor"]
    return found


def test_takes_the_place_of_deployment_and_service(rendered: Rendered) -> None:
    kinds = sorted(one["kind"] for one in rendered.objects)
    assert kinds == ["InferenceService", "NetworkPolicy", "PodDisruptionBudget"]


def test_pod_is_that_of_the_base(predictor: dict[str, Any]) -> None:
    base = render(("base",))
    pod, container = copy.deepcopy(base.pod), copy.deepcopy(base.container)
    container["name"] = "kserve-container"
    for probe, path in (
        ("readinessProbe", "/v2/health/ready"),
        ("livenessProbe", "/v2/health/live"),
    ):
        container[probe]["httpGet"]["path"] = path
    pod["containers"] = [container]
    assert {key: value for key, value in predictor.items() if key not in OWN} == pod
    assert predictor["labels"] == base.labels
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert container["image"] == f"bnn-service:{version}"


def test_what_is_kept_chooses_its_pods(rendered: Rendered, predictor: dict[str, Any]) -> None:
    for selector in (
        rendered.only("NetworkPolicy")["spec"]["podSelector"],
        rendered.only("PodDisruptionBudget")["spec"]["selector"],
    ):
        assert selector["matchLabels"] == predictor["labels"]


def test_kubernetes_accepts_the_pod(predictor: dict[str, Any], tmp_path: Path) -> None:
    spec = {key: value for key, value in predictor.items() if key not in OWN}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}
    file = tmp_path / "pod.yaml"
    file.write_text(yaml.safe_dump(pod))
    validator = Path(sys.executable).parent / "kubernetes-validate"
    answer = subprocess.run(
        [validator, "--strict", "-k", "1.30", file], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_fields_are_known_to_the_models_of_kserve(rendered: Rendered) -> None:
    """Those of its Python package, which are made from the resource's definition."""
    python = find_client("kserve")
    service = rendered.only("InferenceService")
    broken = copy.deepcopy(service)
    broken["spec"]["predictor"]["replicas"] = 2
    for content, expected in ((service, []), (broken, ["replicas"])):
        answer = subprocess.run(
            [python, "-c", CHECK, json.dumps(content)], capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
        assert json.loads(answer.stdout.splitlines()[-1]) == expected
