"""models.comparisons: runs side by side, in the report that they stand in."""

import json
import shutil
from pathlib import Path

import pytest

from models.errors import DataError
from models.finished import read_runs
from models.record import read_record
from models.report import make_report, read_references
from tests.models.records import report, write_run


def test_claim_takes_the_float_network_nearest_in_size(runs: Path) -> None:
    text = report(runs)
    assert "MiB) reaches 81.0 % (80.0 to 82.0, 2 seeds), mobilenet_v1_0.25_small (" in text
    assert "the MobileNet-v1 nearest in size, 85.0 %: 4.0 points less" in text


def test_pairs_differ_in_one_thing(runs: Path) -> None:
    lines = report(runs).splitlines()
    of = "meliusnet13, 1 epochs | 80.0"  # of the seed that both have
    assert f"| without improvement blocks | {of} | 75.5 | -4.5 |  |" in lines
    assert f"| float weights and activations | {of} | 98.0 | +18.0 |  |" in lines
    assert f"| distilled | {of} | 83.5 | +3.5 |  |" in lines


def test_pairs_of_other_seeds_are_compared_by_their_means(runs: Path) -> None:
    dense = read_record(runs / "dense" / "record.json")
    recipe = dense["recipe"] | {"seed": 77}
    shutil.rmtree(runs / "dense")
    write_run(runs / "dense", {**dense, "recipe": recipe}, [[1, 0], [0, 1]])
    of = "meliusnet13, 1 epochs | 81.0 (80.0 to 82.0, 2 seeds)"
    assert f"| without improvement blocks | {of} | 75.5 | -5.5 |  |" in report(runs).splitlines()


def test_every_teacher_has_a_row(runs: Path) -> None:
    taught = read_record(runs / "taught" / "record.json")
    test = taught["test"] | {"top1": 60.5}
    write_run(runs / "other", {**taught, "teacher": "another", "test": test}, [[1, 0], [0, 1]])
    rows = [line for line in report(runs).splitlines() if line.startswith("| distilled |")]
    of = "| distilled | meliusnet13, 1 epochs | 80.0 |"
    assert sorted(rows) == [f"{of} 60.5 | -19.5 |  |", f"{of} 83.5 | +3.5 |  |"]


ANSWER = {
    "bundle": "big", "data": "pets", "resize": 72, "images": 20, "top1": 60.0, "top5": 90.0,
    "among": {"classes": 2, "top1": 95.5, "top5": 100.0},
}  # fmt: skip


def report_beside(runs: Path, answer: object) -> str:
    (runs / "references").mkdir(exist_ok=True)
    (runs / "references" / "big.json").write_text(json.dumps(answer))
    latencies = json.loads((runs / "latencies.json").read_text())
    return make_report(read_runs(runs), latencies, "", read_references(runs / "references"))


def test_networks_trained_elsewhere_stand_beside(runs: Path) -> None:
    text = report_beside(runs, ANSWER)
    assert "| big, pictures of 72 pixels | 95.5 | 60.0 / 90.0 |" in text
    assert "learned from 90, of 2 classes." in text


def test_reduced_pictures_are_said_to_be(runs: Path) -> None:
    text = report_beside(runs, ANSWER | {"seen_at": 64})
    assert "| big, pictures of 72 pixels, reduced to 64x64 pixels before | 95.5 |" in text
    assert "reduced to" not in report_beside(runs, ANSWER | {"seen_at": None})
    text = report_beside(runs, ANSWER | {"color_jitter": 0.5})
    assert "| big, pictures of 72 pixels, colours changed by 0.5 | 95.5 |" in text


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({key: value for key, value in ANSWER.items() if key != "among"}, 'has "among"'),
        ([1], "expected an answer of models.evaluate"),
        (ANSWER | {"images": 19}, "on the 20 test pictures and 2 classes .* one on 19 and 2"),
    ],
)
def test_answers_about_other_pictures_are_refused(runs: Path, answer: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        report_beside(runs, answer)


def test_shifts_are_swept(runs: Path) -> None:
    text = report(runs)
    assert "### Threshold shift of meliusnet13" in text
    assert "| +0.1 | 70.0 |  | 62.5% |" in text
    assert "| +0 | 81.0 (80.0 to 82.0, 2 seeds) |  | not measured |" in text
