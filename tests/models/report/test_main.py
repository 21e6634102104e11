"""models.report: the same report from the same records."""

import json
from pathlib import Path
from typing import Any

import pytest

from models.report.__main__ import HEDGED, LATENCIES, REFERENCES, RESULTS, RUNS, main
from models.report.document import BUNDLE, find_source, make_report, read_notes
from models.report.equal_bytes import read_pair
from models.report.hedged import read_hedged
from models.report.latency import read_latencies
from models.report.references import read_references
from models.report.runs import read_runs
from tests.models.recorded_runs import MACHINE, make_record, report, write_run


def test_calibration_and_errors_are_told(runs: Path) -> None:
    text = report(runs)
    assert "| melius-1 | 9.5 | 3.2 | 1.50 | 10 |" in text
    assert "### Where taught errs" in text  # the best binary one
    assert "| dog | 50% | cat (5) |" in text
    read = read_runs(runs)
    default = next(run for run in read if run.name == "melius-1")
    text = make_report(read, read_latencies(runs / LATENCIES), default=default)
    assert "### Where taught errs" in text
    assert "### Where melius-1, the default model, errs" in text
    assert find_source(read, BUNDLE) is None, "those of a test are not of the default bundle"


def test_command_writes_report_and_images_the_same_each_time(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "RESULTS.md"
    assert main([str(runs), "--out", str(out)]) == 0
    files = [out, runs / "accuracy.svg", runs / "curves.svg"]
    before = [path.read_bytes() for path in files]
    assert main([str(runs), "--out", str(out)]) == 0
    assert [path.read_bytes() for path in files] == before
    assert out.read_text().startswith("# Trained networks: measured\n")


@pytest.mark.parametrize("change", [{"finished": False}, {"test": None}])
def test_unfinished_runs_are_refused(
    change: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "half", make_record(**change), [[1, 0], [0, 1]])
    assert main([str(tmp_path), "--out", str(tmp_path / "R.md")]) == 2
    assert "models.train --resume" in capsys.readouterr().err
    assert not (tmp_path / "R.md").exists()


def test_notes_go_into_the_report(runs: Path, tmp_path: Path) -> None:
    (runs / "NOTES.md").write_text("## What was cut\n\nAlmost all.\n")
    assert main([str(runs), "--out", str(tmp_path / "R.md")]) == 0
    assert "\n\n## What was cut\n\nAlmost all.\n\n## pets\n" in (tmp_path / "R.md").read_text()


def test_runs_without_epochs_have_no_curves(tmp_path: Path) -> None:
    write_run(tmp_path / "fitted", make_record(epochs=[]), [[1, 0], [0, 1]])
    latencies = {"format": 1, "machine": MACHINE, "threads": 1, "networks": {}}
    (tmp_path / LATENCIES).write_text(json.dumps(latencies))
    assert main([str(tmp_path), "--out", str(tmp_path / "R.md")]) == 0
    assert not (tmp_path / "curves.svg").exists()
    assert "curves.svg" not in (tmp_path / "R.md").read_text()


def test_report_of_this_repository_is_made_of_its_records() -> None:
    latencies, references = read_latencies(RUNS / LATENCIES), read_references(RUNS / REFERENCES)
    runs = read_runs(RUNS)
    default = find_source(runs, BUNDLE)
    assert default is not None, "the run of the default bundle is not in the repository"
    hedged = read_hedged(RUNS / HEDGED)
    pair = read_pair(RUNS, runs)
    expected = make_report(runs, latencies, read_notes(RUNS), references, default, hedged, pair)
    assert f"### Where {default.name}, the default model, errs" in expected
    assert RESULTS.read_text(encoding="utf-8") == expected


def test_missing_latencies_are_an_error(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "latencies.json").unlink()
    assert main([str(runs)]) == 2
    assert (
        "expected latencies, format 1; found none. Measure them: models.report --measure."
        in capsys.readouterr().err
    )
