"""What the manifests become: overlays and components, rendered by a real kubectl."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "k8s"
TOOLS = ROOT / ".venv-manifests" / "bin"
OLDEST_KUBECTL = (1, 27)  # the first with kustomize 5
CUSTOM_KINDS = {"ServiceMonitor", "PrometheusRule"}
# An overlay and the components on top of it, as somebody may combine them.
VARIANTS: tuple[tuple[str, ...], ...] = (
    ("base",),
    ("overlays/baseline",),
    ("overlays/cloud",),
    ("overlays/raspberry-pi",),
    ("base", "autoscaling"),
    ("base", "bundle-configmap"),
    ("base", "models-volume"),
    ("base", "monitoring"),
    ("base", "autoscaling", "autoscaling-queue", "monitoring", "baseline"),
    ("overlays/cloud", "autoscaling-queue", "bundle-volume", "monitoring"),
    ("overlays/raspberry-pi", "bundle-configmap"),
)
# Folders of Jobs, which stand for themselves.
JOBS: tuple[tuple[str, ...], ...] = (("jobs/classify",), ("jobs/classify-objects",))

# With another kind of object in the place of the Deployment.
KSERVE = ("base", "kserve")


@dataclass(frozen=True)
class Rendered:
    """All objects of an overlay, in kubectl's order."""

    objects: list[dict[str, Any]]

    def find(self, kind: str) -> list[dict[str, Any]]:
        """The objects of a kind."""
        return [one for one in self.objects if one["kind"] == kind]

    def only(self, kind: str) -> dict[str, Any]:
        """The one object of a kind."""
        (one,) = self.find(kind)
        return one

    @property
    def pod(self) -> dict[str, Any]:
        """The specification of the Deployment's pods."""
        pod: dict[str, Any] = self.only("Deployment")["spec"]["template"]["spec"]
        return pod

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the Deployment's pods."""
        labels: dict[str, str] = self.only("Deployment")["spec"]["template"]["metadata"]["labels"]
        return labels

    @property
    def container(self) -> dict[str, Any]:
        """The pod's one container."""
        (only,) = self.pod["containers"]
        container: dict[str, Any] = only
        return container

    @property
    def environment(self) -> dict[str, str]:
        """The container's variables."""
        return {variable["name"]: variable["value"] for variable in self.container["env"]}


@cache
def find_kubectl() -> str:
    """The path of a kubectl that is new enough; skips the test where there is none."""
    found = shutil.which("kubectl", path=f"{TOOLS}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip("kubectl is missing: install it (make manifest-tools)")
    answer = subprocess.run(
        [found, "version", "--client", "--output=json"], capture_output=True, text=True, check=True
    )
    version = json.loads(answer.stdout)["clientVersion"]
    known = int(version["major"]), int(re.sub(r"\D", "", version["minor"]))
    if known < OLDEST_KUBECTL:
        pytest.skip("kubectl is older than 1.27: install a newer one (make manifest-tools)")
    return found


def kustomize(folder: Path) -> str:
    """What `kubectl kustomize` prints; it must succeed without a warning."""
    answer = subprocess.run(
        [find_kubectl(), "kustomize", folder], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert not answer.stderr, answer.stderr
    return answer.stdout


def parse(text: str) -> Rendered:
    """The objects of kubectl's output."""
    return Rendered(list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))))


@cache
def render(variant: tuple[str, ...]) -> Rendered:
    """An overlay alone, or with components on top of it, as in an overlay of one's own."""
    overlay, *components = variant
    if not components:
        return parse(kustomize(MANIFESTS / overlay))
    with tempfile.TemporaryDirectory() as folder:
        # kustomize follows links: paths are relative to where the folder really is.
        manifests = Path(os.path.relpath(MANIFESTS, Path(folder).resolve()))
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [str(manifests / overlay)],
            "components": [str(manifests / "components" / name) for name in components],
        }
        if namespace := read_kustomization(overlay).get("namespace"):
            kustomization["namespace"] = namespace
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return parse(kustomize(Path(folder)))


def read_kustomization(folder: str) -> dict[str, Any]:
    """The kustomization of a folder in k8s/."""
    content: dict[str, Any] = yaml.safe_load(
        (MANIFESTS / folder / "kustomization.yaml").read_text()
    )
    return content


def print_recipe(*arguments: str) -> str:
    """What make would run, whatever the environment and an outer make say."""
    answer = subprocess.run(
        ["make", "--dry-run", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    return answer.stdout


def name_variant(variant: tuple[str, ...]) -> str:
    """As tests and files are named after it."""
    return "+".join(variant).replace("/", "-")
