"""service.bulk.output_file: rows on real disks, cut anywhere, locked, full."""

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service.bulk.forms import Kind, RowForm
from service.bulk.output_file import OutputBusy, OutputFailed, OutputFile, OutputRefused
from service.bulk.rows import Row, describe_failure
from service.classification.classifier import Prediction

ROOT = Path(__file__).parents[3]
MADE = {"model_id": "abc", "top_k": 1}
NAMES = ("a.jpg", 'quote "b"\n.jpg', "byte \udcff", "last, but one", "é")


def make_row(name: str) -> Row:
    return Row(name, (Prediction("x", 0, 0.5),), None, "m", True, "native/generic")


def open_file(path: Path, kind: Kind = "jsonl", **options: Any) -> OutputFile:
    return OutputFile(path, RowForm(kind, 1), MADE, **options)


def run(path: Path, kind: Kind = "jsonl", names: tuple[str, ...] = NAMES, **options: Any) -> int:
    """A run as the command does it; returns how many rows it wrote."""
    form = RowForm(kind, 1)
    output = open_file(path, kind, **options)
    new = [name for name in names if output.names.add(name)]
    for name in new:
        output.write(form.encode(make_row(name)))
    output.close()
    return len(new)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
@given(data=st.data())
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_a_file_that_is_cut_anywhere_becomes_whole(
    kind: Kind, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cut") / "rows"
    assert run(path, kind) == len(NAMES)
    whole = path.read_bytes()
    os.truncate(path, data.draw(st.integers(0, len(whole))))
    run(path, kind)
    assert path.read_bytes() == whole
    assert run(path, kind) == 0
    assert path.read_bytes() == whole


def test_names_given_twice_have_one_row(tmp_path: Path) -> None:
    assert run(tmp_path / "rows", names=("a", "b", "a")) == 2


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_errors_can_be_tried_again(tmp_path: Path, kind: Kind) -> None:
    path, form = tmp_path / "rows", RowForm(kind, 1)
    output = open_file(path, kind)
    for name in NAMES:
        row = describe_failure(name, "unreadable", "x") if name in NAMES[1:3] else make_row(name)
        output.write(form.encode(row))
    output.close()
    path.chmod(0o640)
    again = open_file(path, kind)
    assert (again.failed, len(again.names)) == (2, 5)
    again.close()
    assert run(path, kind, retry_errors=True) == 2
    with path.open("rb") as file:
        records = list(form.read_records(file))
    assert sorted(record.name for record in records) == sorted(NAMES)
    assert not any(record.is_error for record in records)
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ["rows", "rows.run"]


def fail_one(path: Path) -> None:
    """A file with one good row and one error."""
    output, form = open_file(path), RowForm("jsonl", 1)
    output.write(form.encode(make_row("a")) + form.encode(describe_failure("b", "unreadable", "x")))
    output.close()


def test_errors_are_tried_again_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "rows"
    link.symlink_to("disk/real")
    fail_one(link)
    assert run(link, names=("a", "b"), retry_errors=True) == 1
    assert link.is_symlink()
    assert len((tmp_path / "disk" / "real").read_bytes().splitlines()) == 2
    assert sorted(os.listdir(tmp_path)) == ["disk", "rows", "rows.run"]
    assert os.listdir(tmp_path / "disk") == ["real"]


def test_no_other_file_is_written_over(tmp_path: Path) -> None:
    path, stale, other = (tmp_path / name for name in ("rows", "rows.run.new", "rows.new"))
    fail_one(path)
    other.write_text("important")
    stale.write_text("half of an earlier run")
    open_file(path, retry_errors=True).close()
    assert (other.read_text(), stale.exists()) == ("important", False)
    fail_one(path)
    stale.symlink_to(other)
    for options in ({"retry_errors": True}, {"overwrite": True}):
        with pytest.raises(OutputRefused, match=r"rows\.run\.new: expected no such file"):
            open_file(path, **options)
    assert other.read_text() == "important"


def test_a_file_in_the_place_of_another_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    sync, replace = os.fsync, os.replace

    def note_sync(descriptor: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def note_replace(new: Path, path: Path) -> None:
        calls.append("replace")
        replace(new, path)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    fail_one(tmp_path / "rows")
    open_file(tmp_path / "rows", retry_errors=True).close()
    assert calls == ["file", "replace", "folder"] * 2


def test_one_run_at_a_time(tmp_path: Path) -> None:
    first = open_file(tmp_path / "rows")
    with pytest.raises(OutputBusy, match="no other run"):
        open_file(tmp_path / "rows")
    with pytest.raises(OutputBusy, match="no other run"):
        open_file(tmp_path / "rows", overwrite=True)
    first.write(RowForm("jsonl", 1).encode(describe_failure("a", "unreadable", "x")))
    first.close()
    again = open_file(tmp_path / "rows", retry_errors=True)  # puts another file in its place
    with pytest.raises(OutputBusy, match="no other run"):
        open_file(tmp_path / "rows")
    again.close()
    open_file(tmp_path / "rows").close()


def test_rows_that_were_made_otherwise_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    run(path)
    before = path.read_bytes()
    with pytest.raises(OutputRefused, match=r"top_k 2, found 1\. .*--overwrite"):
        OutputFile(path, RowForm("jsonl", 2), {**MADE, "top_k": 2})
    with pytest.raises(OutputRefused, match="format 'csv', found None"):
        OutputFile(path, RowForm("csv", 1), {**MADE, "format": "csv"})
    assert path.read_bytes() == before
    OutputFile(path, RowForm("jsonl", 2), {**MADE, "top_k": 2}, overwrite=True).close()
    assert path.read_bytes() == b""


@pytest.mark.parametrize("beside", [None, "", "[]", "{}"])
def test_a_file_of_unknown_origin_is_refused(tmp_path: Path, beside: str | None) -> None:
    path = tmp_path / "rows"
    path.write_text("important\n")
    if beside is not None:
        (tmp_path / "rows.run").write_text(beside)
    with pytest.raises(OutputRefused, match="--overwrite"):
        open_file(path)
    assert path.read_text() == "important\n"


def test_something_else_between_the_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    run(path)
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0\0\n" + whole)
    with pytest.raises(OutputRefused, match=rf"at byte {len(whole)};.* truncate -s {len(whole)} "):
        open_file(path)
    os.truncate(path, len(whole))
    assert run(path) == 0


@pytest.mark.parametrize("place", [".", "no/rows", "pipe", "/dev/null"])
def test_what_is_no_file(tmp_path: Path, place: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputRefused, match="expected a"):
        open_file(tmp_path / place)


def test_rows_reach_the_disk_every_few_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    now = [0.0]
    output = open_file(tmp_path / "rows", clock=lambda: now[0])
    before = len(synced)
    for seconds in range(21):
        now[0] = seconds
        output.write(b"x\n")
    assert len(synced) - before == 3
    output.close()
    assert len(synced) - before == 4


FILL = """
import sys
from pathlib import Path
from tests.service.bulk.test_output_file import open_file, make_row, RowForm
output = open_file(Path(sys.argv[1]))
form = RowForm("jsonl", 1)
try:
    for number in range(10**6):
        output.write(form.encode(make_row(f"{number}.jpg")))
except Exception as fault:
    print(type(fault).__name__, fault)
"""


def fill(path: Path, limit: int | None = None) -> str:
    """Writes rows until there is no room; what it says then."""

    def lower() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    answer = subprocess.run(
        [sys.executable, "-c", FILL, str(path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        preexec_fn=lower,
        timeout=120,
        check=True,
    )
    return answer.stdout


def check_rows(path: Path) -> None:
    """Whole rows alone, none twice, and a later run goes on."""
    with path.open("rb") as file:
        records = list(RowForm("jsonl", 1).read_records(file))
    assert records[-1].end == path.stat().st_size
    assert [record.name for record in records] == [f"{n}.jpg" for n in range(len(records))]
    again = open_file(path)
    assert len(again.names) == len(records) > 10
    again.close()


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    assert "OutputFailed" in fill(tmp_path / "rows", 10_000)
    check_rows(tmp_path / "rows")


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if os.getuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        answer = fill(tmp_path / "rows")
        assert answer.startswith("OutputFailed")
        assert "No space left on device. Make room" in answer
        check_rows(tmp_path / "rows")
        output = open_file(tmp_path / "rows")
        with pytest.raises(OutputFailed, match="run again"):
            output.write(bytes(65_536))
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
