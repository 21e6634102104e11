"""README.md: its figures are those of the manifests; paths and commands of all READMEs exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PROSE = " ".join(README.split())  # wherever its lines end
FOLDERS = ("bnn_client", "deploy", "examples", "k8s", "loadtests", "models", "runtime", "service")
DOCUMENTS = sorted(
    {*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))}
)


def manifest(bundle: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / bundle / "manifest.json").read_text())
    return content


@pytest.mark.parametrize("bundle", ["service/bundles/default", "service/bundles/mobilenet_v1"])
def test_accuracy_and_size_are_those_of_the_manifest(bundle: str) -> None:
    content = manifest(bundle)
    accuracy = content["training"]["accuracy"]
    assert content["trained"]
    weights = max(entry["bytes"] for entry in content["files"].values())
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{bundle}` |")]
    assert f"{accuracy['top1']} % / {accuracy['top5']} % of {accuracy['images']:,} |" in row
    assert f"{weights:,} bytes" in row


def test_photos_from_elsewhere_are_told_as_measured() -> None:
    """In the order of the table: the default, MeliusNet13 and MobileNet-v1 of the pair."""
    names = ("default", "meliusnet13_everyday", "mobilenet025_everyday")
    folder = ROOT / "models" / "runs" / "references"
    answers = [json.loads((folder / f"{name}_one_of_each.json").read_text()) for name in names]
    first, second, third = (f"{answer['top1']:.0f} %" for answer in answers)
    assert f"of {answers[0]['images']} photos from elsewhere" in PROSE
    assert f"they get {first}, {second} and {third} right" in PROSE
    first, second, third = (f"{answer['balanced_top1']:.0f} %" for answer in answers)
    assert f"in the mean of the classes it is {first}, {second} and {third}" in PROSE


def test_the_default_and_others_on_its_test_images_are_told_as_measured() -> None:
    """Rows of the default, the one before, and the pair, as they are and in changed colours."""
    answers = ROOT / "models" / "runs" / "references"
    names = ("default64_photos", "meliusnet13_everyday_photos", "mobilenet025_everyday_photos")
    plain = [manifest("service/bundles/default")["training"]["accuracy"]]
    plain += [json.loads((answers / f"{name}.json").read_text()) for name in names]
    changed = [
        json.loads((answers / f"{name}_colors_changed.json").read_text())
        for name in ("default", *names)
    ]
    (_, *rows) = README.partition("| in changed light and colours |\n")[2].splitlines()
    for row, as_they_are, in_colours in zip(rows, plain, changed, strict=False):
        assert row.endswith(f"| {as_they_are['top1']:.1f} % | {in_colours['top1']:.1f} % |")
        assert in_colours["color_jitter"] == 0.5
    assert len({answer["sha256"] for answer in (*plain[1:], *changed)}) == 1


def test_the_fair_comparison_is_told_as_measured() -> None:
    names = ("meliusnet22-photos20-160", "mobilenet05-photos20-160")
    records = [
        json.loads((ROOT / "models" / "runs" / name / "record.json").read_text()) for name in names
    ]
    melius, mobile = (record["test"] for record in records)
    assert f"MeliusNet22 has {melius['top1']} % and MobileNet-v1 0.5" in PROSE
    assert f"{mobile['top1']} % of {mobile['images']:,} fair test images" in PROSE
    assert {record["recipe"]["epochs"] for record in records} == {36}


def test_ratios_of_raspberry_pis_are_those_of_the_emulated_table() -> None:
    """The range of each board and precision, of ours with either kind of float parts."""
    page = (ROOT / "runtime" / "bench" / "README.md").read_text()
    block = page.partition("<!-- bench arm: begin -->")[2].partition("<!-- bench arm: end -->")[0]
    rows = [line.strip("| ").split(" | ") for line in block.splitlines() if "mobilenet_v1" in line]
    assert len(rows) == 12

    def describe(board: str, column: int) -> tuple[str, str]:
        ratios = [row[column].partition(": ")[2].rstrip("x") for row in rows if row[0] == board]
        return min(ratios), max(ratios)

    pi4, pi5 = "Raspberry Pi 4", "Raspberry Pi 5"
    (low4, high4), (low5, high5) = describe(pi4, 7), describe(pi5, 7)
    assert f"are {low4} to {high4} times as fast on a Raspberry Pi 4" in PROSE
    assert f"float32, and {low5} to {high5} times on a Pi 5" in PROSE
    (low4, high4), (low5, high5) = describe(pi4, 9), describe(pi5, 9)
    assert f"{low4} to {high4} and {low5} to {high5} times as fast as its int8 form" in PROSE


def test_training_is_described_as_it_was() -> None:
    for bundle in ("service/bundles/default", "service/bundles/mobilenet_v1"):
        training = manifest(bundle)["training"]
        assert f"{training['recipe']['epochs']} epochs" in PROSE
        assert training["epochs_done"] == training["recipe"]["epochs"]
        assert f"{training['train_images']:,} images" in PROSE


def test_paths_exist() -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    named = re.findall(
        r"`((?:service|models|runtime|loadtests|bnn_client|examples|k8s|tests|\.locks)/[\w./-]*)`",
        README,
    )
    assert linked
    assert named
    for path in {*linked, *named}:
        assert (ROOT / path).exists(), path


def list_anchors(document: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\((?!http)([^)\s]+)\)", document.read_text()):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in list_anchors(target), link


def test_make_targets_exist() -> None:
    """In every document, at the start of a line of code or in a word of it."""
    makefile = (ROOT / "Makefile").read_text()
    found = set()
    for document in DOCUMENTS:
        text = document.read_text()
        found |= set(
            re.findall(r"(?m)(?:^    |&& )make (?:-k )?([a-z][a-z0-9-]+)(?![\w/.-])", text)
        )
        found |= set(re.findall(r"`make\s(?:-k )?([a-z][a-z0-9-]+)(?![\w/.-])", text))
    assert found >= {"serve", "test", "image", "wheel-arm64", "raspberry-pi", "manifest-tools"}
    for target in found:
        assert re.search(rf"(?m)^{target}:", makefile), target


def test_nothing_is_left_to_fill_in() -> None:
    assert "@@" not in README
