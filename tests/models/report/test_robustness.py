"""models.report.robustness: tables from records; figures of weak attacks are not shown."""

from pathlib import Path

import pytest

from models.errors import DataError
from models.report.__main__ import ROBUSTNESS, RUNS, main
from models.report.robustness import ATTACKS, CHART, make_robustness, read_attacks
from tests.models.attack_records import write_attack_records


def test_strong_records_are_told_and_weak_ones_stamped(tmp_path: Path) -> None:
    folder = write_attack_records(tmp_path / ATTACKS)
    text = make_robustness(read_attacks(folder), folder)
    strong = "[meliusnet13 on pets](runs/attacks/strong.json)"
    weak = "[feeble on pets](runs/attacks/weak.json)"
    assert f"| {strong} | 9 (5-16) | 4 (2-10) |" in text  # white box, at 1 and 2
    assert f"| {strong} | 49 (39-59) | 49 (39-59) |" in text  # as files
    assert f"| {weak} | attack too weak | attack too weak |" in text
    assert f"| {weak} | the check | **failed** | 1: 30 and 10 % |" in text
    assert f"| {strong} | 1 | 1,000 | 4 of 100 | 7 | 9 | 40 |" in text
    defended = (
        f"| {strong}, noise:5 | 1 | 50 / 10 | 8 to 20 | mean margin | 12 | 12.0 | 80 to 77 "
        "| 3.00 (0.50)"
    )
    assert f"{defended} | 4.00 |" in text
    assert f"{defended} | no measurable cost |" in text
    assert "secure" not in text.lower()


def test_the_command_writes_page_and_chart_the_same_each_time(runs: Path, tmp_path: Path) -> None:
    assert main([str(runs), "--out", str(tmp_path / "RESULTS.md")]) == 0
    assert not (tmp_path / ROBUSTNESS).exists()  # no records
    write_attack_records(runs / ATTACKS)
    files = [tmp_path / ROBUSTNESS, runs / CHART]
    for _ in range(2):
        assert main([str(runs), "--out", str(tmp_path / "RESULTS.md")]) == 0
        contents = [path.read_bytes() for path in files]
    assert contents == [path.read_bytes() for path in files]
    assert b"feeble" not in contents[1]


def test_a_file_that_is_no_record_is_refused(runs: Path, tmp_path: Path) -> None:
    write_attack_records(runs / ATTACKS)
    (runs / ATTACKS / "other.json").write_text("{}")
    assert main([str(runs), "--out", str(tmp_path / "RESULTS.md")]) == 2
    with pytest.raises(DataError, match=r"other.json: expected an answer of models.attack"):
        read_attacks(runs / ATTACKS)


def test_the_page_of_this_repository_is_made_of_its_records() -> None:
    attacked = read_attacks(RUNS / ATTACKS)
    assert attacked
    page = RUNS.parent / ROBUSTNESS
    assert page.read_text(encoding="utf-8") == make_robustness(attacked, RUNS / ATTACKS)
    assert "secure" not in page.read_text(encoding="utf-8").lower()
