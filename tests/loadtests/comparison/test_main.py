"""The comparison as a command: a short real run of the repository's bundles, and wrong usage."""

from pathlib import Path

import pytest

from loadtests.comparison.__main__ import main
from loadtests.comparison.page import MARKS
from tests.loadtests.conftest import RunTool

SHORT = [
    *("--seconds", "0.3", "--repeats", "2", "--warm-up", "0.1", "--step-seconds", "0.5"),
    *("--slo-steps", "1", "--phone-seconds", "0.1", "--starts", "1"),
]


@pytest.mark.slow
def test_short_run_of_the_repository_s_bundles(run_tool: RunTool, tmp_path: Path) -> None:
    readme, page = tmp_path / "README.md", tmp_path / "c.html"
    readme.write_text(f"{MARKS[0]}\n{MARKS[1]}\n")
    markdown = tmp_path / "c.md"
    files = ["--markdown", str(markdown), "--html", str(page), "--readme", str(readme)]
    bundles = ["service/bundles/default", "service/bundles/mobilenet_v1"]
    status, found, printed = run_tool("comparison", *SHORT, *files, "--case", "both", *bundles)
    assert status in (0, 1, 3), printed  # thresholds are for longer runs and quiet machines
    (first,) = found["results"]["cases"]
    assert first["title"] == "both"
    ours, theirs = first["sides"]
    assert ours["engine"].startswith("native/")
    assert theirs["engine"] == "onnx/cpu"
    assert " split" in ours["accuracy_record"]
    assert theirs["accuracy_record"] == "not measured"  # in 8 bits, by the manifest
    for side in (ours, theirs):
        assert side["cpu_ms"]["median"] > 0
        assert side["peak_rss_bytes"] >= side["idle_rss_bytes"] > 0
        assert side["model_bytes"] > 0
        assert 0 < side["no_model_rss_bytes"] < side["peak_rss_bytes"]
    assert len(ours["slo"]) == 1
    counted = [check for check in found["checks"] if "the service counted" in check["name"]]
    assert [check["held"] for check in counted] == [True, True]
    assert (tmp_path / "c-1.svg").read_text().rstrip().endswith("</svg>")
    assert "c-1.svg" in markdown.read_text()
    assert page.read_text().count("data:image/svg+xml") == 1
    assert ("meliusnet24" in readme.read_text()) == (status != 3)


def test_measures_accuracy_on_the_same_files(
    run_tool: RunTool, tmp_path: Path, photos: Path
) -> None:
    for name, label in (("cat", "cat"), ("sunflower", "flower")):
        (tmp_path / "data" / label).mkdir(parents=True)
        image = (photos / f"{name}.jpg").read_bytes()
        (tmp_path / "data" / label / f"{name}.jpg").write_bytes(image)
    case = ["--brief-case", "x", "service/bundles/default", "service/bundles/small"]
    options = [*SHORT, "--data", str(tmp_path / "data"), *case]
    status, found, printed = run_tool("comparison", *options)
    assert status in (0, 3), printed
    for side in found["results"]["cases"][0]["sides"]:
        assert side["accuracy"] == {"images": 2, "top1": 2, "top5": 2, "refused": 0}
    assert "100.0% / 100.0% of 2" in printed
    assert "Labelled images in data/: 2 (1 cat, 1 flower)." in printed


def test_labels_that_no_model_knows(run_tool: RunTool, tmp_path: Path) -> None:
    (tmp_path / "data" / "cats").mkdir(parents=True)
    (tmp_path / "data" / "cats" / "1.jpg").write_bytes(b"never sent")
    case = ["--brief-case", "x", "service/bundles/default", "service/bundles/mobilenet_v1"]
    status, _, printed = run_tool("comparison", *SHORT, "--data", str(tmp_path / "data"), *case)
    assert status == 2
    assert "expected folders named like labels of meliusnet24 (bird" in printed
    assert "found cats" in printed


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--case", "x", "service/bundles/default"], "two bundles or more"),
        (["--case", "x", "tests", "service"], "no manifest.json"),
        (["--service", "a=b:c"], "expected no --service"),
        (["--data", "k8s"], "--data: expected images"),
        (["--readme", "LICENSE"], "expected the lines"),
        (2 * ["--case", "x", *2 * ["service/bundles/default"]], "title of its own"),
    ],
)
def test_wrong_usage(options: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options) == 2
    assert text in capsys.readouterr().err
