"""compose.yaml: valid, unprivileged, and agreeing with image, service, Prometheus and Grafana."""

import ipaddress
import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml
from pydantic import TypeAdapter

from service.settings.setting_types import Bytes
from service.settings.settings import PREFIX, Settings, name_variable, read_settings

CLASSIFIERS = ("meliusnet", "baseline")
SETTINGS = {name_variable(field): field for field in Settings.model_fields}
MONITORING = Path("k8s", "components", "monitoring")
REST_S = 5  # left for what comes after the grace time, at least


def count_bytes(size: str) -> int:
    """Of Docker's 640m and Kubernetes' 640Mi alike, which are the same."""
    return int(TypeAdapter(Bytes).validate_python(re.sub(r"m$", "Mi", size)))


def fill_in(text: str) -> str:
    """What compose makes of ${NAME:-default} where nothing is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@pytest.fixture(scope="module")
def text(repository: Path) -> str:
    return fill_in((repository / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def services(text: str) -> dict[str, dict[str, Any]]:
    content: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]
    return content


@pytest.fixture(scope="module")
def prometheus(repository: Path) -> dict[str, Any]:
    path = repository / "deploy" / "compose" / "prometheus.yaml"
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def list_mounts(service: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Source, target and options of each volume."""
    for volume in service.get("volumes", ()):
        source, target, *options = volume.split(":")
        yield source, target, ",".join(options)


def check(text: str) -> compose_spec.PyCompose:
    """Raises ValueError for what the Compose Specification does not know. It takes no `<<`."""
    return compose_spec.PyCompose.from_yaml(yaml.safe_dump(yaml.safe_load(text)))


def test_is_valid(text: str) -> None:
    found = check(text)
    assert set(found.service_names()) == {*CLASSIFIERS, "prometheus", "grafana"}


@pytest.mark.parametrize("broken", ["read_onl: true", "cpus: many", "mem_limit: 640 mice"])
def test_what_is_not_valid_is_found(text: str, broken: str) -> None:
    key = broken.partition(":")[0]
    first = re.sub(rf"^    {key}: .*\n", "", text, flags=re.MULTILINE)
    changed = first.replace("  baseline:\n", f"  baseline:\n    {broken}\n", 1)
    with pytest.raises(ValueError, match="baseline"):
        check(changed)


def test_nothing_has_privileges(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"].partition(":")[0] not in ("", "0", "root"), name
        assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid", "devices"}


def test_everything_is_bounded(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert count_bytes(service["mem_limit"]) > 0, name
        assert service["memswap_limit"] == service["mem_limit"], f"{name}: it would swap"
        assert service["pids_limit"] > 0, name
        assert service["cpus"] > 0, name
        for size in service.get("tmpfs", ()):
            assert "size=" in size, name


def test_everything_has_a_health_check_without_a_shell(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        assert service["healthcheck"]["test"][0] == "CMD", name


def test_ports_are_open_on_this_machine_alone(services: dict[str, dict[str, Any]]) -> None:
    published = []
    for service in services.values():
        for port in service["ports"]:
            address, outer, _ = port.split(":")
            assert ipaddress.ip_address(address).is_loopback
            published.append(outer)
    assert len(published) == len(set(published))


def test_versions_are_pinned(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        tag = service["image"].rpartition(":")[2]
        assert re.match(r"v?\d+\.\d+\.\d+", tag), service["image"]


def test_nothing_is_secret(text: str) -> None:
    assert not re.search(r"password|token|secret|api_key", text, re.IGNORECASE)


# ---- the classifiers ----


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_image_is_built_here_under_the_project_s_version(
    repository: Path, services: dict[str, dict[str, Any]], name: str
) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    build = services[name]["build"]
    assert re.search(rf"^FROM \S+ AS {build['target']}$", read_dockerfile(repository), re.M)
    printed = subprocess.run(
        ["make", "--silent", "--dry-run", "image", f"TARGET={build['target']}"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"--tag '{services[name]['image']}'" in printed.stdout, "as `make image` names it"
    assert services[name]["image"].startswith(f"{project['name']}:{project['version']}")


def read_dockerfile(repository: Path) -> str:
    return (repository / "Dockerfile").read_text()


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_settings_exist_and_port_and_times_fit(
    repository: Path,
    services: dict[str, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    service = services[name]
    assert service["environment"].keys() <= SETTINGS.keys()
    for variable in [one for one in os.environ if one.startswith(PREFIX)]:
        monkeypatch.delenv(variable)
    for variable, value in service["environment"].items():
        monkeypatch.setenv(variable, value)
    settings = read_settings()
    needed = (settings.drain_delay_ms + settings.grace_ms) / 1000 + REST_S
    assert needed <= float(service["stop_grace_period"].removesuffix("s"))
    assert settings.drain_delay_ms > 0, "no preStop hook waits here"
    ((_, _, inner),) = (port.split(":") for port in service["ports"])
    dockerfile = read_dockerfile(repository)
    assert f"\nEXPOSE {inner}\n" in dockerfile
    assert f"BNN_PORT={inner}\n" in dockerfile


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_limits_and_user_are_those_of_kubernetes(
    repository: Path, services: dict[str, dict[str, Any]], name: str
) -> None:
    """Where tests find that the memory suffices (tests/k8s/test_agreement.py)."""
    files = {"meliusnet": "base/deployment.yaml", "baseline": "overlays/baseline/memory.yaml"}
    pod = yaml.safe_load((repository / "k8s" / files[name]).read_text())["spec"]["template"]["spec"]
    limits = pod["containers"][0]["resources"]["limits"]
    assert count_bytes(limits["memory"]) == count_bytes(services[name]["mem_limit"])
    assert services[name]["cpus"] == 1
    assert f"\nUSER {services[name]['user']}\n" in read_dockerfile(repository)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_health_check_is_the_image_s(
    repository: Path, services: dict[str, dict[str, Any]], name: str
) -> None:
    match = re.search(
        r"^HEALTHCHECK (.*) \\\n +CMD (\[.*\])$", read_dockerfile(repository), re.MULTILINE
    )
    assert match
    check = services[name]["healthcheck"]
    assert check["test"][1:] == json.loads(match[2])
    for option in match[1].split():
        key, _, value = option.removeprefix("--").partition("=")
        assert str(check[key.replace("-", "_")]) == value


# ---- Prometheus and Grafana ----


def test_promtool_finds_nothing(repository: Path, tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (package prometheus) is not installed: configuration not checked")
    text = (repository / "deploy" / "compose" / "prometheus.yaml").read_text()
    config = tmp_path / "prometheus.yaml"
    rules = repository / MONITORING / "rules"
    config.write_text(text.replace("/etc/prometheus/rules", str(rules)))
    answer = subprocess.run(
        [promtool, "check", "config", config], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert len(re.findall(r"SUCCESS: \d+ rules found", answer.stdout)) == len(list(rules.iterdir()))


def test_prometheus_scrapes_the_classifiers_in_the_job_of_the_alerts(
    repository: Path, prometheus: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    jobs = {job["job_name"]: job for job in prometheus["scrape_configs"]}
    named = set[str]()
    for rules in (repository / MONITORING / "rules").iterdir():
        named |= set(re.findall(r'job="([^"]+)"', rules.read_text()))
    assert named == {"bnn-service"}
    (group,) = jobs["bnn-service"]["static_configs"]
    expected = [f"{name}:{services[name]['ports'][0].split(':')[2]}" for name in CLASSIFIERS]
    assert group["targets"] == expected
    assert prometheus["global"]["scrape_interval"] == "15s", "the alerts' windows fit it"


def test_mounts_exist_and_are_not_written_to(
    repository: Path, text: str, services: dict[str, dict[str, Any]]
) -> None:
    volumes = yaml.safe_load(text)["volumes"]
    used = set()
    for name, service in services.items():
        for source, _, options in list_mounts(service):
            if source.startswith("."):
                assert (repository / source).exists(), source
                assert options == "ro", f"{name}: {source}"
            else:
                used.add(source)
    assert used == volumes.keys()


def test_prometheus_finds_its_files_where_they_are_mounted(
    prometheus: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    targets = {target: source for source, target, _ in list_mounts(services["prometheus"])}
    arguments = dict(line.split("=", 1) for line in services["prometheus"]["command"])
    assert targets[arguments["--config.file"]] == "./deploy/compose/prometheus.yaml"
    assert targets[arguments["--storage.tsdb.path"]] == "prometheus"
    (rules,) = prometheus["rule_files"]
    assert targets[str(Path(rules).parent)] == f"./{MONITORING}/rules"


def test_grafana_finds_dashboard_and_source(
    repository: Path, services: dict[str, dict[str, Any]]
) -> None:
    service = services["grafana"]
    targets = {target: source for source, target, _ in list_mounts(service)}
    folder = repository / "deploy" / "compose" / "grafana"
    for kind in ("datasources", "dashboards"):
        assert targets[f"/etc/grafana/provisioning/{kind}"] == f"./deploy/compose/grafana/{kind}"
    provider = yaml.safe_load((folder / "dashboards" / "dashboards.yaml").read_text())
    path = provider["providers"][0]["options"]["path"]
    home = service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).parent == Path(path)
    assert targets[home] == f"./{MONITORING}/dashboard.json"
    (source,) = yaml.safe_load((folder / "datasources" / "datasources.yaml").read_text())[
        "datasources"
    ]
    host, port = source["url"].removeprefix("http://").split(":")
    assert services[host]["ports"][0].endswith(f":{port}")
    assert source["type"] == "prometheus", "the dashboard's variable chooses among these"


def test_grafana_shows_everyone_and_lets_nobody_in(services: dict[str, dict[str, Any]]) -> None:
    environment = services["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
