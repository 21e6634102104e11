"""Bundles of the pods: the image has the baseline's, a ConfigMap that kubectl makes is served."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.bundle import read_bundle
from tests.k8s.rendering import ROOT, find_kubectl, render

BUNDLES = ROOT / "service" / "bundles"
MAX_CONFIG_MAP = 2**20  # bytes of data that the API server accepts


def mount_config_map(bundle: Path, mount: Path) -> None:
    """Makes the ConfigMap as the README says, and lays it out as kubelet does."""
    command = [find_kubectl(), "create", "configmap", "bnn-bundle", f"--from-file={bundle}"]
    answer = subprocess.run(
        [*command, "--dry-run=client", "--output=json"], capture_output=True, text=True, check=True
    )
    config = json.loads(answer.stdout)
    files = {name: text.encode() for name, text in config.get("data", {}).items()}
    files |= {name: base64.b64decode(text) for name, text in config.get("binaryData", {}).items()}
    assert sum(map(len, files.values())) <= MAX_CONFIG_MAP
    data = mount / "..2026_11_28_12_00_00.123456789"
    data.mkdir(parents=True)
    (mount / "..data").symlink_to(data.name)
    for name, content in files.items():
        (data / name).write_bytes(content)
        (data / name).chmod(0o444)
        (mount / name).symlink_to(f"..data/{name}")


@pytest.mark.parametrize(("name", "engine"), [("small", "native"), ("small", "onnx")])
def test_bundle_in_a_config_map_is_served(name: str, engine: str, tmp_path: Path) -> None:
    mount_config_map(BUNDLES / name, tmp_path / "bundle")
    assert read_bundle(tmp_path / "bundle").manifest == read_bundle(BUNDLES / name).manifest
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BNN_")}
    environment |= {"BNN_BUNDLE": str(tmp_path / "bundle"), "BNN_ENGINE": engine}
    answer = subprocess.run(
        [sys.executable, "-m", "service", "self-test"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("component", ["bundle-configmap", "bundle-volume"])
def test_own_bundle_is_where_the_service_looks(component: str) -> None:
    (overlay,) = {
        "bundle-configmap": [("base", "bundle-configmap")],
        "bundle-volume": [("overlays/cloud", "autoscaling-queue", "bundle-volume", "monitoring")],
    }[component]
    found = render(overlay)
    (mount,) = (one for one in found.container["volumeMounts"] if one["name"] == "bundle")
    assert found.environment["BNN_BUNDLE"] == mount["mountPath"]
    (volume,) = (one for one in found.pod["volumes"] if one["name"] == "bundle")
    source = volume.get("configMap") or volume["persistentVolumeClaim"]
    assert {source.get("name"), source.get("claimName")} == {"bnn-bundle", None}
    assert "optional" not in source


def test_more_models_are_where_the_service_looks() -> None:
    found = render(("base", "models-volume"))
    (mount,) = (one for one in found.container["volumeMounts"] if one["name"] == "models")
    assert mount["readOnly"] is True
    assert found.environment["BNN_MODELS"] == mount["mountPath"]
    (volume,) = (one for one in found.pod["volumes"] if one["name"] == "models")
    assert volume["persistentVolumeClaim"] == {"claimName": "bnn-models", "readOnly": True}


def test_baseline_is_a_bundle_of_the_image() -> None:
    found = render(("overlays/baseline",)).environment
    folder = Path(found["BNN_BUNDLE"])
    bundle = read_bundle(BUNDLES / folder.name)
    assert bundle.manifest.name.startswith("mobilenet")
    assert found["BNN_ENGINE"] == "onnx"
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f'ln -s "$site"/service/bundles {folder.parent} ' in dockerfile
    assert f"test -f {folder}/manifest.json" in dockerfile


def test_link_of_the_image_leads_to_the_bundles(tmp_path: Path) -> None:
    """The Dockerfile's own line, on a tree that looks like the image's."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    lines = [each.strip(" &\\") for each in dockerfile.splitlines()]
    (link,) = (line for line in lines if line.startswith("ln -s "))
    (find,) = {line.removeprefix("RUN ") for line in lines if "site=" in line}
    bundles = tmp_path / "lib" / "python3.13" / "site-packages" / "service" / "bundles"
    (bundles / "default").mkdir(parents=True)
    script = f"{find} && {link}".replace("/opt/bnn", str(tmp_path))
    subprocess.run(["sh", "-c", script], check=True)
    assert (tmp_path / "bundles").resolve() == bundles.resolve()
