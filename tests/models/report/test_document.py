"""The report on training runs: made of their records alone, the same every time."""

from pathlib import Path

from tests.models.recorded_runs import make_record, report, write_run


def test_seeds_share_a_row(runs: Path) -> None:
    lines = report(runs).splitlines()
    row = next(line for line in lines if line.startswith("| meliusnet13 |"))
    assert "| 81.0 (80.0 to 82.0, 2 seeds) |" in row
    assert "[melius-2](runs/melius-2/record.json), [melius-1](runs/melius-1/record.json)" in row
    assert "| 1.50 |" in row


def test_every_run_says_where_it_comes_from(runs: Path) -> None:
    text = report(runs)
    for name in ("melius-1", "melius-2", "dense", "mobile-small"):
        row = f"| [{name}](runs/{name}/record.json) | `0123456789` |"
        assert row in text
    assert "| a CPU, 2 threads | 2 | 2026-11-26 |" in text
    assert "not measured" in next(x for x in text.splitlines() if x.startswith("| mobilenet_v1 |"))


def test_runs_with_other_classes_have_a_section_of_their_own(runs: Path) -> None:
    data = make_record()["data"] | {"classes": ["a", "b", "c"], "labels": ["cat", "dog", "cow"]}
    confusion = [[3, 1, 0], [0, 4, 0], [0, 0, 4]]
    write_run(runs / "of-three", make_record(data=data), confusion)
    headings = [line for line in report(runs).splitlines() if line.startswith("## ")]
    assert "## pets, 3 classes" in headings
    assert "## pets, 2 classes" in headings
    assert "## pets" not in headings
