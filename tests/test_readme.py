"""README.md: its figures are those of the manifests, its paths and commands exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def manifest(bundle: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / bundle / "manifest.json").read_text())
    return content


@pytest.mark.parametrize("bundle", ["service/bundles/default", "service/bundles/mobilenet_v1"])
def test_accuracy_and_size_are_those_of_the_manifest(bundle: str) -> None:
    content = manifest(bundle)
    accuracy = content["training"]["accuracy"]
    assert content["trained"]
    assert f"| {accuracy['images']:,} test pictures: top-1 / top-5 |" in README
    weights = max(entry["bytes"] for entry in content["files"].values())
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{bundle}` |")]
    assert f"{accuracy['top1']} % / {accuracy['top5']} %" in row
    assert f"{weights:,} bytes" in row


def test_photos_from_elsewhere_are_told_as_measured() -> None:
    """In the order of the table: the default, MeliusNet13 and MobileNet-v1 of the pair."""
    names = ("default", "meliusnet13_everyday", "mobilenet025_everyday")
    folder = ROOT / "models" / "runs" / "references"
    answers = [json.loads((folder / f"{name}_one_of_each.json").read_text()) for name in names]
    first, second, third = (f"{answer['top1']:.0f} %" for answer in answers)
    assert f"of {answers[0]['images']} photos\nfrom elsewhere" in README
    assert f"they get {first}, {second} and {third} right" in README


def test_training_is_described_as_it_was() -> None:
    for bundle in ("service/bundles/default", "service/bundles/mobilenet_v1"):
        training = manifest(bundle)["training"]
        assert f"{training['recipe']['epochs']} epochs" in README
        assert training["epochs_done"] == training["recipe"]["epochs"]
        assert f"{training['train_images']:,} pictures" in README


def test_paths_exist() -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    named = re.findall(
        r"`((?:service|models|runtime|loadtests|k8s|tests|\.locks)/[\w./-]*)`", README
    )
    assert linked
    assert named
    for path in {*linked, *named}:
        assert (ROOT / path).exists(), path


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?m)^    make ([a-z-]+)", README))
    assert targets >= {"serve", "test", "image"}
    for target in targets:
        assert re.search(rf"(?m)^{target}:", makefile), target


def test_nothing_is_left_to_fill_in() -> None:
    assert "@@" not in README
