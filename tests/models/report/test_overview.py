"""The table that the report begins with: pairs of equal test images and size, best first."""

from pathlib import Path

import pytest

from models.report.overview import HEAD, make_overview
from models.report.runs import Run, read_runs
from tests.models.recorded_runs import make_record, write_run

CONFUSION = [[1, 0], [0, 1]]


def tell(run: Run) -> str:
    return f"{run.name} took"


@pytest.fixture
def lines(tmp_path: Path) -> list[str]:
    """Rows of two seeds, a worse recipe, a MobileNet, another input size, a distilled one."""
    base = make_record()
    small = base["preprocessing"] | {"crop": 16}
    for name, record in {
        "first": base,
        "second": make_record(
            recipe=base["recipe"] | {"seed": 2}, test=base["test"] | {"top1": 82.0}
        ),
        "worse": make_record(
            changes={"shift": 0.1}, epochs=[base["epochs"][0] | {"validation_top1": 70.0}],
            test=base["test"] | {"top1": 99.0},
        ),
        "mobile": make_record("mobilenet_v1", test=base["test"] | {"top1": 60.0}),
        "small": make_record(preprocessing=small),
        "taught": make_record(teacher="a float net", test=base["test"] | {"top1": 98.0}),
    }.items():  # fmt: skip
        write_run(tmp_path / name, record, CONFUSION)
    runs = read_runs(tmp_path)
    small_run = next(run for run in runs if run.name == "small")
    return make_overview(runs, tell, small_run).splitlines()


def test_the_default_stands_before_the_pairs(lines: list[str]) -> None:
    head, _, *rows = lines
    assert head == f"| {' | '.join(HEAD)} |"
    assert [row.split(" | ")[0] for row in rows] == [
        "| **the default**: meliusnet13",
        "| meliusnet13",
        "| mobilenet_v1",
    ]


def test_a_row_says_what_was_measured_on_what(lines: list[str]) -> None:
    row = lines[3].strip("| ").split(" | ")
    assert row[2:5] == ["32x32", "81.0 (80.0 to 82.0, 2 seeds)", "20 of pets, 2 classes"]
    assert int(row[1].replace(",", "")) > 100_000
    assert row[5].endswith(" took")
    assert row[6] == "[second](runs/second/record.json), [first](runs/first/record.json)"


def test_nothing_is_chosen_by_its_test(lines: list[str]) -> None:
    """The shifted run has the best test accuracy, the worse validation accuracy."""
    assert not any("99.0" in line or "98.0" in line for line in lines)


def test_without_a_default_and_without_pairs_there_is_a_head_alone(tmp_path: Path) -> None:
    write_run(tmp_path / "alone", make_record(), CONFUSION)
    assert len(make_overview(read_runs(tmp_path), tell).splitlines()) == 2
