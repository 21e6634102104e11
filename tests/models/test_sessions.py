"""models.sessions: a record of simulated sessions and of videos, its table, and refusals."""

import json
from pathlib import Path

import pytest

from models.albums.session_tables import make_page_table
from models.albums.simulation import REGIMES
from models.sessions import main
from tests.models.checkpoints import export_trained
from tests.models.images import write_colours, write_image

MARKS = ("<!-- sessions: begin -->\n\n", "\n<!-- sessions: end -->")


def test_a_record_and_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "network").mkdir()
    bundle = export_trained(tmp_path / "network")
    for split, seed in (("val", 1), ("test", 2)):
        write_colours(tmp_path / "data" / split, 9, "blue", "red", "far", seed=seed)
    for name in ("blue/one/0000.png", "blue/one/0001.png", "blue/two/0002.png", "red/one/0000.png"):
        write_image(tmp_path / "videos" / name)
    options = ["--data", str(tmp_path / "data"), "--shuffles", "2", "--quiet"]
    capsys.readouterr()  # what the export said
    videos = ["--videos", str(tmp_path / "videos"), "--every", "2"]
    assert main([str(bundle), *options, *videos]) == 0
    text = capsys.readouterr().out
    record = json.loads(text)
    assert list(record["regimes"]) == [regime.name for regime in REGIMES]
    assert record["fitted_on"]["images"] == record["measured_on"]["images"] == 18
    assert record["fitted_on"]["sha256"] != record["measured_on"]["sha256"]
    assert (record["videos"]["frames"], record["videos"]["videos"]) == (3, 3)
    assert record["engine"].startswith("native/")
    (tmp_path / "record.json").write_text(text)
    assert main(["--table", str(tmp_path / "record.json")]) == 0
    table = capsys.readouterr().out
    assert table.startswith("| `bundle` (meliusnet13) | alone |")
    page = tmp_path / "page.md"
    page.write_text("# A page\n<!-- sessions: begin -->\nold\n<!-- sessions: end -->\nThe end.\n")
    for _ in range(2):
        assert main(["--table", str(tmp_path / "record.json"), "--page", str(page)]) == 0
    assert page.read_text() == f"# A page\n{MARKS[0]}{table}{MARKS[1]}\nThe end.\n"
    page.write_text("no marks")
    assert main(["--table", str(tmp_path / "record.json"), "--page", str(page)]) == 2
    assert "a page without them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "expected BUNDLE and --data DIR"),
        (["--scale", "0"], "expected --scale from 1; found 0"),
        (["x", "--data", "y", "--shuffles", "0"], "expected --shuffles from 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert told in capsys.readouterr().err


def test_time_and_memory_of_many_photos(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--scale", "100"]) == 0
    assert json.loads(capsys.readouterr().out)["photos"] == 100


def test_the_page_has_the_figures_of_the_records(repository: Path) -> None:
    records = [
        json.loads(path.read_text())
        for path in sorted((repository / "models" / "runs" / "sessions").glob("*.json"))
    ]
    assert all("+" not in (record["commit"] or "+") for record in records)
    page = (repository / "models" / "README.md").read_text()
    _, begin, rest = page.partition(MARKS[0])
    block, end, _ = rest.partition(MARKS[1])
    assert begin
    assert end
    assert block == make_page_table(records) + "\n"
