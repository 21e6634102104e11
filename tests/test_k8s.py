"""The Kubernetes manifests: valid, unprivileged, consistent, naming only settings that exist."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime import ImageLimits, describe_full_size_limits
from service.settings import KERNEL_SETTINGS, Settings, name_variable

SETTINGS = {name_variable(field) for field in Settings.model_fields} | KERNEL_SETTINGS.keys()
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"}  # glibc's
IDLE_MIB = 140  # of the fallback engine, measured
WAITING = 10  # requests whose bodies are held, at least
IN_FLIGHT_S = 5  # left for the requests in flight after preStop, at least


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
    assert {variable["name"] for variable in container["env"]} <= SETTINGS | ALLOCATOR


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


def measure_decoding(settings: Settings) -> int:
    """Bytes, to whole MiB, with which every image of the most pixels is decoded at full size."""
    return 2**20 * next(
        megabytes
        for megabytes in range(1, 10_000)
        if set(describe_full_size_limits(limit_memory(settings, megabytes)).values())
        == {settings.max_pixels}
    )


def limit_memory(settings: Settings, megabytes: int) -> ImageLimits:
    return ImageLimits(
        max_bytes=settings.max_body_bytes,
        max_pixels=settings.max_pixels,
        max_decoding_bytes=megabytes * 2**20,
    )


def test_memory_covers_the_largest_pictures(container: dict[str, Any]) -> None:
    given = {
        variable["name"].removeprefix("BNN_").lower(): variable["value"]
        for variable in container["env"]
        if variable["name"] in SETTINGS
    }
    settings = Settings(**given)
    decoding = settings.decode_threads * measure_decoding(settings)
    bodies = (WAITING + 3) * settings.max_body_bytes  # three more of the one being decoded
    limit = container["resources"]["limits"]["memory"]
    assert limit.endswith("Mi")
    assert int(limit[:-2]) * 2**20 >= IDLE_MIB * 2**20 + decoding + bodies


def test_probes_ask_the_right_paths(container: dict[str, Any]) -> None:
    paths = {
        probe: container[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert paths == {
        "startupProbe": "/readyz",
        "readinessProbe": "/readyz",
        "livenessProbe": "/livez",
    }


def test_pod_has_time_to_stop(pod: dict[str, Any], container: dict[str, Any]) -> None:
    withdrawn = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert withdrawn + IN_FLIGHT_S <= pod["terminationGracePeriodSeconds"]


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
