"""The manifests agree with the service: settings, ports, probes, labels, memory, times, rights."""

import os
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.settings.settings import (
    KERNEL_SETTINGS,
    PREFIX,
    Settings,
    name_variable,
    read_settings,
)
from tests.k8s.rendering import CUSTOM_KINDS, ROOT, VARIANTS, Rendered, render
from tests.service.servers import ServerProcess

SETTINGS = {name_variable(field): field for field in Settings.model_fields}
PROBES = {"startupProbe": "/startupz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
REST_S = 5  # left for what comes after the grace time, at least
RESTRICTED_VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
BUNDLES_IN_IMAGE = "/opt/bnn/bundles"


@pytest.fixture
def settings(rendered: Rendered, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the service makes of the container's variables."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name, value in rendered.environment.items():
        monkeypatch.setenv(name, value)
    return read_settings()


def test_every_variable_is_a_setting_and_has_its_value(
    rendered: Rendered, settings: Settings
) -> None:
    assert rendered.environment.keys() <= SETTINGS.keys() | KERNEL_SETTINGS.keys()
    for name in rendered.environment.keys() & SETTINGS.keys():
        value = getattr(settings, SETTINGS[name])
        assert str(value) == rendered.environment[name], name
    names = [variable["name"] for variable in rendered.container["env"]]
    assert len(names) == len(set(names))


def test_requests_reach_the_service(rendered: Rendered, settings: Settings) -> None:
    """From the Service's port to the one that the service listens on, past the policy."""
    (port,) = rendered.container["ports"]
    assert port["containerPort"] == settings.port
    assert settings.host == "0.0.0.0"
    assert rendered.pod["enableServiceLinks"] is False
    service, policy = rendered.only("Service")["spec"], rendered.only("NetworkPolicy")["spec"]
    (served,) = service["ports"]
    assert served["targetPort"] == port["name"]
    ((allowed,),) = (rule["ports"] for rule in policy["ingress"])
    assert allowed["port"] == port["name"]
    assert served["protocol"] == allowed["protocol"] == port["protocol"] == "TCP"
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"\nEXPOSE {settings.port}\n" in dockerfile


def test_nothing_goes_out(rendered: Rendered) -> None:
    policy = rendered.only("NetworkPolicy")["spec"]
    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    assert policy["egress"] == []


def test_probes_ask_their_paths(rendered: Rendered) -> None:
    (port,) = rendered.container["ports"]
    for probe, path in PROBES.items():
        assert rendered.container[probe]["httpGet"] == {"path": path, "port": port["name"]}


def test_liveness_waits_for_the_service_to_judge(rendered: Rendered, settings: Settings) -> None:
    """/livez says no by itself when a worker hangs; a slow answer alone is no reason for an end."""
    probe = rendered.container["livenessProbe"]
    assert probe["periodSeconds"] * (probe["failureThreshold"] - 1) >= 30
    assert probe["timeoutSeconds"] * 1000 >= settings.deadline_ms


def test_start_has_two_minutes(rendered: Rendered) -> None:
    probe = rendered.container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 120
    assert probe["periodSeconds"] <= 2


def list_selectors(rendered: Rendered) -> list[dict[str, str]]:
    """Whatever chooses the Deployment's pods by their labels."""
    spreads = rendered.pod["topologySpreadConstraints"]
    return [
        rendered.only("Deployment")["spec"]["selector"]["matchLabels"],
        rendered.only("Service")["spec"]["selector"],
        rendered.only("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        rendered.only("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        *(spread["labelSelector"]["matchLabels"] for spread in spreads),
    ]


def test_everything_selects_these_pods_alone(rendered: Rendered) -> None:
    for selector in list_selectors(rendered):
        assert selector == rendered.labels


def test_pods_are_spread_over_nodes(rendered: Rendered, variant: tuple[str, ...]) -> None:
    spreads = rendered.pod["topologySpreadConstraints"]
    keys = {spread["topologyKey"] for spread in spreads}
    zones = {"topology.kubernetes.io/zone"} if variant[0] == "overlays/cloud" else set()
    assert keys == {"kubernetes.io/hostname"} | zones
    assert {spread["whenUnsatisfiable"] for spread in spreads} == {"ScheduleAnyway"}


def test_nodes_can_be_emptied(rendered: Rendered) -> None:
    """maxUnavailable, as minAvailable would keep the only pod of a Pi for ever."""
    assert rendered.only("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_pod_has_time_to_stop(rendered: Rendered, settings: Settings) -> None:
    withdrawn = rendered.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed = withdrawn + (settings.drain_delay_ms + settings.grace_ms) / 1000 + REST_S
    assert needed <= rendered.pod["terminationGracePeriodSeconds"]
    probe = rendered.container["readinessProbe"]
    assert withdrawn >= probe["periodSeconds"]


def test_pod_has_no_privileges(rendered: Rendered) -> None:
    """The restricted Pod Security Standard, and a root that is not written to."""
    pod = rendered.pod
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert rendered.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod.keys()
    assert "hostPort" not in rendered.container["ports"][0]
    assert "\nUSER 10001:10001\n" in (ROOT / "Dockerfile").read_text()


def test_volumes_are_of_allowed_kinds_and_all_mounted(rendered: Rendered) -> None:
    volumes = {volume["name"]: volume.keys() - {"name"} for volume in rendered.pod["volumes"]}
    assert set().union(*volumes.values()) <= RESTRICTED_VOLUMES
    mounts = rendered.container["volumeMounts"]
    assert [mount["name"] for mount in mounts] == list(dict.fromkeys(m["name"] for m in mounts))
    assert {mount["name"] for mount in mounts} == volumes.keys()
    assert all(mount.get("readOnly") for mount in mounts if mount["name"] != "tmp")


def test_resources_are_whole_cpus_and_certain_memory(rendered: Rendered) -> None:
    """Workers are counted by the CPU limit; memory that is not requested may not be there."""
    resources = rendered.container["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert re.fullmatch("[1-9][0-9]*", resources["limits"]["cpu"])


def test_pi_runs_one_pod_on_its_architecture() -> None:
    found = render(("overlays/raspberry-pi",))
    deployment = found.only("Deployment")["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}
    assert found.pod["nodeSelector"] == {"kubernetes.io/arch": "arm64"}


def test_others_replace_no_pod_before_its_successor_is_ready(
    rendered: Rendered, variant: tuple[str, ...]
) -> None:
    if variant[0] != "overlays/raspberry-pi":
        strategy = rendered.only("Deployment")["spec"]["strategy"]
        assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


# ---- a service with the container's settings, memory and CPUs ----


def find_bundle(rendered: Rendered) -> str:
    """Where the container's bundle lies here; a bundle of one's own is as large as the default."""
    found = rendered.environment.get("BNN_BUNDLE", "")
    if found.startswith(BUNDLES_IN_IMAGE):
        return str(ROOT / "service" / "bundles" / Path(found).name)
    return ""


def ask_limits(rendered: Rendered, log: Path) -> dict[str, Any]:
    """The limits in /info; the service itself also answers the container's probes."""
    limits = rendered.container["resources"]["limits"]
    environment = {"BNN_ENGINE": "native"} | rendered.environment
    environment |= {"BNN_PORT": "0", "BNN_HOST": "127.0.0.1", "BNN_BUNDLE": find_bundle(rendered)}
    environment |= {"BNN_MEMORY_BUDGET": limits["memory"], "BNN_WORKERS": limits["cpu"]}
    server = ServerProcess(log, environment)
    try:
        url = server.wait_until_ready()
        found: dict[str, Any] = httpx.get(f"{url}/info").json()["limits"]
        for probe in PROBES:
            path = rendered.container[probe]["httpGet"]["path"]
            assert httpx.get(f"{url}{path}").status_code == 200, path
    finally:
        server.stop()
    return found


@pytest.mark.parametrize("overlay", ["base", "overlays/cloud", "overlays/baseline"])
def test_memory_suffices_for_ordinary_photos_at_full_size(overlay: str, tmp_path: Path) -> None:
    found = ask_limits(render((overlay,)), tmp_path / "log")
    settings = Settings()
    assert found["max_body_bytes"] == settings.max_body_bytes
    for kind in ("jpeg", "png", "webp"):
        assert found[f"max_pixels_{kind}"] == settings.max_pixels


def test_memory_of_a_pi_suffices_for_what_cameras_send(tmp_path: Path) -> None:
    """Bodies of 8 MiB, and two megapixels of every format; larger JPEGs are reduced."""
    found = ask_limits(render(("overlays/raspberry-pi",)), tmp_path / "log")
    assert found["max_body_bytes"] >= 8 * 2**20
    for kind in ("jpeg", "png", "webp", "avif"):
        assert found[f"max_pixels_{kind}"] >= 2_000_000


def test_every_amount_of_memory_is_tried() -> None:
    """A variant with other limits or another engine would want a test of its own above."""
    tried = {"base", "overlays/cloud", "overlays/baseline", "overlays/raspberry-pi"}

    def describe(rendered: Rendered) -> tuple[str, str]:
        limits = rendered.container["resources"]["limits"]
        return limits["cpu"], limits["memory"]

    known = {describe(render((overlay,))) for overlay in tried}
    assert {describe(render(variant)) for variant in VARIANTS} == known


def test_custom_kinds_are_the_operators_alone(rendered: Rendered) -> None:
    """What the schemas in use cannot check is left out of that check by name."""
    foreign = {one["kind"] for one in rendered.objects if "coreos" in one["apiVersion"]}
    assert foreign <= CUSTOM_KINDS
