"""The rendered manifests: valid for each Kubernetes version, within policies, complete."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.k8s.rendering import (
    CUSTOM_KINDS,
    JOBS,
    KSERVE,
    MANIFESTS,
    OLDEST_KUBECTL,
    ROOT,
    TOOLS,
    VARIANTS,
    Rendered,
    kustomize,
    name_variant,
    parse,
    print_recipe,
    read_kustomization,
    render,
)

OLDEST = (1, 30)  # the first in which preStop.sleep is on
SCHEMAS = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"
VERSIONS = sorted(
    (int(found[1]), int(found[2]))
    for path in SCHEMAS.iterdir()
    if (found := re.fullmatch(r"v(\d+)\.(\d+)\.0-local-strict", path.name))
)
SUPPORTED = [version for version in VERSIONS if version >= OLDEST]


def write_all(folder: Path) -> list[Path]:
    """The objects that Kubernetes itself knows, a file for each variant."""
    files = []
    for variant in (*VARIANTS, *JOBS):
        files.append(folder / f"{name_variant(variant)}.yaml")
        known = [one for one in render(variant).objects if one["kind"] not in CUSTOM_KINDS]
        files[-1].write_text(yaml.safe_dump_all(known))
    return files


def validate(version: tuple[int, int], files: list[Path]) -> subprocess.CompletedProcess[str]:
    validator = Path(sys.executable).parent / "kubernetes-validate"
    number = ".".join(map(str, version))
    return subprocess.run(
        [validator, "--strict", "-k", number, *files], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("version", SUPPORTED, ids=lambda version: ".".join(map(str, version)))
def test_schemas_accept_every_object_strictly(version: tuple[int, int], tmp_path: Path) -> None:
    files = write_all(tmp_path)
    answer = validate(version, files)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    objects = sum(len(list(yaml.safe_load_all(file.read_text()))) for file in files)
    assert (answer.stdout + answer.stderr).count(" passed ") == objects


def test_schemas_refuse_what_is_too_old(tmp_path: Path) -> None:
    """Older schemas do not know preStop.sleep, so the validation sees what it is there for."""
    answer = validate((1, 28), write_all(tmp_path)[:1])
    assert answer.returncode != 0
    assert "sleep" in answer.stdout + answer.stderr


def test_readme_has_a_table_of_the_oldest_versions() -> None:
    text = (MANIFESTS / "README.md").read_text()
    rows = re.findall(r"^\| (\w+) \| (\d+)\.(\d+) \|", text, re.MULTILINE)
    found = {name: (int(major), int(minor)) for name, major, minor in rows}
    assert found == {"Kubernetes": OLDEST, "kubectl": OLDEST_KUBECTL}
    assert len(SUPPORTED) >= 5


def test_checkov_finds_nothing(tmp_path: Path) -> None:
    checkov = TOOLS / "checkov"
    if not (TOOLS.parent / "ready").exists():
        pytest.skip("checkov is missing: install it (make manifest-tools)")
    files = write_all(tmp_path)
    options = [word for file in files for word in ("--file", str(file))]
    answer = subprocess.run(
        [checkov, "--config-file", MANIFESTS / ".checkov.yaml", "--output", "json", *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    report = json.loads(answer.stdout)
    failed = [
        f"{check['check_id']} {check['check_name']}: {check['resource']} in {check['file_path']}"
        for check in report["results"]["failed_checks"]
    ]
    assert not failed
    assert answer.returncode == 0, answer.stderr
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 50 * len(files)


def test_yamllint_finds_nothing() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", "k8s"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def list_folders(parent: str) -> set[str]:
    return {path.parent.name for path in (MANIFESTS / parent).glob("*/kustomization.yaml")}


def list_used(folder: str) -> set[Path]:
    """The folders that one includes, and those that they include."""
    content = read_kustomization(folder)
    used = set()
    for name in [*content.get("resources", []), *content.get("components", [])]:
        path = (MANIFESTS / folder / name).resolve()
        if path.is_dir():
            used |= {path} | list_used(str(path.relative_to(MANIFESTS)))
    return used


def test_every_folder_is_in_a_variant() -> None:
    used = {MANIFESTS / overlay for overlay, *_ in (*VARIANTS, *JOBS)}
    used |= {MANIFESTS / "components" / name for _, *names in (*VARIANTS, KSERVE) for name in names}
    used |= {found for overlay, *_ in (*VARIANTS, *JOBS) for found in list_used(overlay)}
    expected = {path.parent for path in MANIFESTS.rglob("kustomization.yaml")}
    assert used == expected


def test_kustomizations_name_every_file() -> None:
    """But for what is read by other programs: the adapter, Prometheus."""
    for path in MANIFESTS.rglob("kustomization.yaml"):
        content = yaml.safe_load(path.read_text())
        patches = [patch["path"] for patch in content.get("patches", []) if "path" in patch]
        named = {*content.get("resources", []), *patches}
        files = {file.name for file in path.parent.glob("*.yaml")}
        left = files - named - {"kustomization.yaml"}
        assert left <= {"adapter.yaml"}, path


def test_readme_names_every_folder_with_its_command() -> None:
    text = (MANIFESTS / "README.md").read_text()
    commands = set(re.findall(r"kubectl apply (?:--server-side )?-k (k8s/[\w/-]+)", text))
    folders = {f"{kind}/{name}" for kind in ("overlays", "jobs") for name in list_folders(kind)}
    assert commands == {f"k8s/{name}" for name in ("base", *folders)}
    components = set(re.findall(r"^\| `components/([\w-]+)` \|", text, re.MULTILINE))
    assert components == list_folders("components")


def test_readme_shows_an_overlay_that_renders(tmp_path: Path) -> None:
    text = (MANIFESTS / "README.md").read_text()
    block = re.search(r"    # mine/kustomization\.yaml\n((?:    .*\n)+)", text)
    assert block is not None
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kustomization.yaml").write_text(re.sub("(?m)^    ", "", block[1]))
    (tmp_path / "k8s").symlink_to(MANIFESTS)
    # kustomize follows the link, so that the overlay's own relative paths stay right
    found = parse(kustomize(tmp_path / "mine"))
    assert found.container["image"] == f"registry.example.org/bnn-service:{read_version()}"
    assert found.environment["BNN_BUNDLE"] == "/bundle"
    check_namespace(found)


def read_version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    version: str = project["project"]["version"]
    return version


def test_image_is_the_one_that_make_builds(rendered: Rendered) -> None:
    image = rendered.container["image"]
    assert image == f"bnn-service:{read_version()}"
    assert f"--tag '{image}'" in print_recipe("image")
    assert rendered.container["imagePullPolicy"] == "IfNotPresent"


def check_namespace(found: Rendered) -> None:
    """All objects are in the one namespace that is made; without one, where kubectl is."""
    made = [one["metadata"]["name"] for one in found.find("Namespace")]
    others = [one for one in found.objects if one["kind"] != "Namespace"]
    assert {one["metadata"].get("namespace") for one in others} == set(made or [None])


def test_all_objects_are_in_one_namespace(rendered: Rendered) -> None:
    check_namespace(rendered)
    for namespace in rendered.find("Namespace"):
        labels = namespace["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_objects_have_different_names(rendered: Rendered) -> None:
    names = [(one["kind"], one["metadata"]["name"]) for one in rendered.objects]
    assert len(names) == len(set(names))


def test_baseline_stands_beside_the_service() -> None:
    both = [render((name,)) for name in ("base", "overlays/baseline")]
    names = [{(one["kind"], one["metadata"]["name"]) for one in each.objects} for each in both]
    assert not names[0] & names[1]
    selector: dict[str, Any] = both[0].only("Service")["spec"]["selector"]
    assert not selector.items() <= both[1].labels.items()


def test_readmes_commands_name_the_version() -> None:
    named = re.findall(r"bnn-service:(\d[\w.]*)", (ROOT / "README.md").read_text())
    assert named
    assert set(named) == {read_version()}
