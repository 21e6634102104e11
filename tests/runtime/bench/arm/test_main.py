"""The command: what it needs is told before anything runs; tables and exit status from figures."""

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.bench.arm import __main__ as command
from runtime.bench.arm.boards import BOARDS
from runtime.errors import RuntimeFault
from tests.runtime.bench.arm.figures import make_figures

PAGE = "# Title\n<!-- bench arm: begin -->\nold\n<!-- bench arm: end -->\nThe end.\n"


@pytest.fixture
def figures(tmp_path: Path) -> Path:
    """A file that --json wrote."""
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(make_figures()))
    return path


def test_tables_are_written_between_the_marks(
    figures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    status = command.main(["--from-json", str(figures), "--markdown", str(page)])
    assert status == 1  # one network is missing
    text = page.read_text()
    assert text.startswith("# Title\n<!-- bench arm: begin -->\n\n**Emulated and modelled")
    assert text.endswith("\n\n<!-- bench arm: end -->\nThe end.\n")
    assert "old" not in text
    output = capsys.readouterr()
    assert "**Emulated and modelled" in output.out
    assert "not measured: Raspberry Pi 5, mobilenet_v1_0.5: litert fp32: because" in output.err


def test_a_page_without_marks_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "find_tools", lambda: pytest.fail("it ran"))
    page = tmp_path / "page.md"
    page.write_text("# Title\n")
    assert command.main(["--markdown", str(page)]) == 2
    assert "<!-- bench arm: begin -->" in capsys.readouterr().err


def test_missing_programs_end_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise RuntimeFault("found no qemu-aarch64")

    monkeypatch.setattr(command, "find_tools", fail)
    assert command.main([]) == 2
    assert capsys.readouterr().err == "runtime.bench.arm: found no qemu-aarch64\n"


def test_what_is_asked_for_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, Any]] = []

    def compare(*_: object, **options: Any) -> dict[str, Any]:
        asked.append(options)
        return {**make_figures(), "not_measured": {}}

    monkeypatch.setattr(command, "find_tools", lambda: None)
    monkeypatch.setattr(command, "make_machine", lambda tools: None)
    monkeypatch.setattr(command, "compare_networks", compare)
    out = tmp_path / "f.json"
    options = [
        "--network",
        "meliusnet42",
        "--board",
        "pi5",
        "--layer-groups",
        "--no-peers",
        "--json",
        str(out),
    ]
    assert command.main(options) == 0
    assert command.main([]) == 0
    assert asked[0]["pairs"] == [("meliusnet42", "mobilenet_v1_0.75")]
    assert (asked[0]["boards"], asked[0]["with_parts"]) == (["pi5"], True)
    assert (asked[0]["with_peers"], asked[1]["with_peers"]) == (False, True)
    assert (asked[1]["boards"], len(asked[1]["pairs"])) == (list(BOARDS), 3)
    assert json.loads(out.read_text())["rows"] == make_figures()["rows"]
    assert "| Raspberry Pi 4 | meliusnetc |" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [
        ["--network", "resnet"],
        ["--board", "pi3"],
        ["--json", "/no/such/folder/f.json"],
        ["--peer-python", "litert"],
    ],
)
def test_wrong_options_are_refused(options: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command.parse_arguments(options)
    assert end.value.code == 2


@pytest.mark.parametrize("text", [None, "{", "[1]", '{"machine": 1}'])
def test_a_file_without_figures_is_refused(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "figures.json"
    if text is not None:
        path.write_text(text)
    assert command.main(["--from-json", str(path)]) == 2
    assert "expected figures that --json wrote" in capsys.readouterr().err
