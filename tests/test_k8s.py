"""The Kubernetes manifests: valid, unprivileged, consistent, naming only settings that exist."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from service.settings import KERNEL_SETTINGS, Settings, name_variable
from tests.service.servers import ServerProcess

SETTINGS = {name_variable(field) for field in Settings.model_fields} | KERNEL_SETTINGS.keys()
REST_S = 5  # left for what comes after the grace time, at least


def load(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


@pytest.fixture(scope="module")
def base(repository: Path) -> Path:
    return repository / "k8s" / "base"


@pytest.fixture(scope="module")
def manifests(base: Path) -> dict[str, dict[str, Any]]:
    """Kind -> manifest, of all resources the kustomization names."""
    (kustomization,) = load(base / "kustomization.yaml")
    documents = [one for name in kustomization["resources"] for one in load(base / name)]
    return {document["kind"]: document for document in documents}


@pytest.fixture(scope="module")
def pod(manifests: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return manifests["Deployment"]["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    return only


def test_schemas_accept_every_manifest_strictly(base: Path) -> None:
    paths = sorted(set(base.glob("*.yaml")) - {base / "kustomization.yaml"})
    validator = Path(sys.executable).parent / "kubernetes-validate"
    answer = subprocess.run(
        [validator, "--strict", *paths], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert (answer.stdout + answer.stderr).count(" passed ") == len(paths)


def test_yamllint_finds_nothing(repository: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", "k8s"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_kustomize_renders_every_resource(base: Path, manifests: dict[str, dict[str, Any]]) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    answer = subprocess.run(
        [kubectl, "kustomize", base], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    rendered = [document["kind"] for document in yaml.safe_load_all(answer.stdout)]
    assert sorted(rendered) == sorted(manifests)


def test_kustomization_names_every_file(base: Path) -> None:
    (kustomization,) = load(base / "kustomization.yaml")
    files = {path.name for path in base.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == files


def test_names_only_settings_that_exist(container: dict[str, Any]) -> None:
    assert {variable["name"] for variable in container["env"]} <= SETTINGS


def test_pod_has_no_privileges(pod: dict[str, Any], container: dict[str, Any]) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_memory_is_never_overcommitted(container: dict[str, Any]) -> None:
    resources = container["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert float(resources["limits"]["cpu"]).is_integer()


def read_environment(container: dict[str, Any]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["env"]}


def test_memory_suffices_for_ordinary_photos_at_full_size(
    container: dict[str, Any], tmp_path: Path
) -> None:
    """The service itself says what its limits are, with the container's memory and CPUs."""
    limits = container["resources"]["limits"]
    environment = read_environment(container)
    environment |= {"BNN_PORT": "0", "BNN_ENGINE": "native", "BNN_HOST": "127.0.0.1"}
    environment |= {"BNN_MEMORY_BUDGET": limits["memory"], "BNN_WORKERS": limits["cpu"]}
    server = ServerProcess(tmp_path / "log", environment)
    try:
        found = httpx.get(f"{server.wait_until_ready()}/info").json()["limits"]
    finally:
        server.stop()
    settings = Settings()
    assert found["max_body_bytes"] == settings.max_body_bytes
    for kind in ("jpeg", "png", "webp"):
        assert found[f"max_pixels_{kind}"] == settings.max_pixels


def test_probes_ask_the_right_paths(container: dict[str, Any]) -> None:
    paths = {
        probe: container[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert paths == {
        "startupProbe": "/startupz",
        "readinessProbe": "/readyz",
        "livenessProbe": "/livez",
    }


def test_pod_has_time_to_stop(pod: dict[str, Any], container: dict[str, Any]) -> None:
    environment = read_environment(container)
    delays_ms = sum(int(environment[f"BNN_{name}_MS"]) for name in ("DRAIN_DELAY", "GRACE"))
    withdrawn = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed = withdrawn + delays_ms / 1000 + REST_S
    assert needed <= pod["terminationGracePeriodSeconds"]


def test_ports_and_labels_agree(
    manifests: dict[str, dict[str, Any]], container: dict[str, Any]
) -> None:
    labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
    service, policy = manifests["Service"]["spec"], manifests["NetworkPolicy"]["spec"]
    assert service["selector"].items() <= labels.items()
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    (port,) = container["ports"]
    assert service["ports"][0]["targetPort"] == port["name"]
    assert policy["ingress"][0]["ports"][0]["port"] == port["name"]
    values = {variable["name"]: variable["value"] for variable in container["env"]}
    assert values["BNN_PORT"] == str(port["containerPort"])
