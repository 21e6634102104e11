"""models.report.references: answers of models.evaluate beside the runs on the same images."""

import json
from pathlib import Path

import pytest

from models.errors import DataError
from models.report.document import make_report
from models.report.latency import read_latencies
from models.report.references import read_references
from models.report.runs import read_runs

ANSWER = {
    "bundle": "big", "trained_on": "unknown", "data": "pets", "sha256": "ab12", "resize": 72,
    "images": 20, "top1": 60.0, "top5": 90.0, "commit": None, "device": "a CPU",
    "started": "2026-11-26T00:00:00+00:00", "seconds": 1.5,
    "among": {"classes": 2, "top1": 95.5, "top5": 100.0},
}  # fmt: skip
OWN = {key: value for key, value in ANSWER.items() if key != "among"}


def report_beside(runs: Path, **answers: object) -> str:
    (runs / "references").mkdir(exist_ok=True)
    for name, answer in answers.items():
        (runs / "references" / f"{name}.json").write_text(json.dumps(answer))
    latencies = read_latencies(runs / "latencies.json")
    return make_report(read_runs(runs), latencies, "", read_references(runs / "references"))


def test_networks_trained_elsewhere_stand_beside(runs: Path) -> None:
    text = report_beside(runs, big=ANSWER)
    link = "[big](runs/references/big.json)"
    assert f"| big, images of 72 pixels | 95.5 | 60.0 / 90.0 | {link} |" in text
    assert "ours were trained on 90 images of 2 classes." in text
    assert "### Bundles on these test images" not in text


def test_how_images_were_seen_is_said(runs: Path) -> None:
    text = report_beside(runs, big=ANSWER | {"seen_at": 64})
    assert "| big, images of 72 pixels, reduced to 64x64 pixels before | 95.5 |" in text
    assert "reduced to" not in report_beside(runs, big=ANSWER | {"seen_at": None})
    text = report_beside(runs, big=ANSWER | {"color_jitter": 0.5})
    assert "| big, images of 72 pixels, colour jitter 0.5 | 95.5 |" in text


def test_bundles_of_the_same_classes_have_their_own_table(runs: Path) -> None:
    changed = OWN | {"top1": 55.5, "color_jitter": 0.5, "trained_on": "cats"}
    text = report_beside(runs, plain=OWN | {"color_jitter": 0.0}, changed=changed)
    rows = [line for line in text.splitlines() if line.startswith("| big, trained on ")]
    assert rows == [
        "| big, trained on unknown | images of 72 pixels | 60.0 | 90.0 "
        "| [plain](runs/references/plain.json) |",
        "| big, trained on cats | images of 72 pixels, colour jitter 0.5 | 55.5 | 90.0 "
        "| [changed](runs/references/changed.json) |",
    ]
    assert "### Beside networks trained elsewhere" not in text


def test_other_data_has_a_section_of_its_own(runs: Path) -> None:
    other = OWN | {"data": "zoo", "sha256": "cd34", "images": 19, "balanced_top1": 55.25}
    changed = other | {"color_jitter": 0.5}
    text = report_beside(runs, big=other, changed=changed, old=OWN | {"data": "farm"})
    assert "## zoo: other images\n\n19 images" in text
    assert "## farm: other images" not in text, "its images are those of a run"
    row = "| big, trained on unknown | images of 72 pixels | 60.0 | 90.0 | 55.2 |"
    assert f"{row} [big](runs/references/big.json) |" in text
    assert text.index(row) < text.index("[changed](runs/references/changed.json)")
    assert "### Bundles on these test images" not in text.partition("## zoo")[2]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            {key: value for key, value in ANSWER.items() if key != "commit"},
            "an answer of models.evaluate; it lacks commit",
        ),
        ([1], "expected an answer of models.evaluate"),
        (ANSWER | {"sha256": "cd34", "images": 19}, r"one about 19 others, of pets \(SHA-256 cd34"),
    ],
)
def test_other_answers_are_refused(runs: Path, answer: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        report_beside(runs, big=answer)
