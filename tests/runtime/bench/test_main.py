"""The command line of the benchmark: what it accepts, prints and writes; times are never judged."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from runtime.bench import __main__ as bench
from runtime.bench.__main__ import main, parse_arguments
from runtime.bench.report import SECTIONS
from runtime.bundle import Bundle
from tests.runtime.bundles import make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bench") / "bundle")


@pytest.fixture(autouse=True)
def _restore_threads() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def run(bundle: Bundle, *options: str) -> int:
    return main(["--bundle", str(bundle.path), "--runs", "2", *options])


def test_report_is_printed_written_and_drawn(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--json", str(tmp_path / "f.json"), "--plot", str(tmp_path / "f.svg")]
    files += ["--markdown", str(tmp_path / "f.md")]
    sections = ["--only", "layers,engines", "--only", "networks"]
    assert run(bundle, *files, *sections, "--engine", "native", "--no-memory") == 0
    content = json.loads((tmp_path / "f.json").read_text())
    assert set(content) == {"machine", "settings", "limits", "layers", "networks", "engines"}
    assert content["settings"] == {"threads": 1, "batch": 1, "runs": 2, "cpus": []}
    assert [row["name"] for row in content["engines"][0]["engines"]] == ["native"]
    assert (tmp_path / "f.svg").read_text().startswith("<svg ")
    assert content["machine"]["cpu"] in (tmp_path / "f.md").read_text()
    printed = capsys.readouterr().out
    for text in (
        content["machine"]["cpu"],
        "engines on random, untrained (random weights): input 3x16x16, batch 1, threads 1",
        "binary layers of random",
        *(step.name for step in bundle.manifest.plan),
    ):
        assert text in printed


def test_figures_are_written_again_without_measuring(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, page, image = (str(tmp_path / name) for name in ("f.json", "f.md", "f.svg"))
    assert run(bundle, "--json", figures, "--only", "engines", "--engine", "native") == 0
    capsys.readouterr()
    assert main(["--from-json", figures, "--markdown", page, "--plot", image]) == 0
    assert capsys.readouterr().out == ""
    assert "native/" in Path(page).read_text()
    assert Path(image).read_text().startswith("<svg ")


@pytest.mark.parametrize("content", [None, "no JSON", "[]", "{}"])
def test_figures_of_another_kind_are_refused(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "f.json").write_text(content)
    assert main(["--from-json", str(tmp_path / "f.json")]) == 2
    assert "expected a file that --json wrote" in capsys.readouterr().err


def test_places_to_write_to_are_checked_before_measuring(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page.md").write_text("no marks\n")
    assert run(bundle, "--markdown", str(tmp_path / "page.md")) == 2
    captured = capsys.readouterr()
    assert "found a file without them" in captured.err
    assert captured.out == ""
    for option in ("--json", "--plot", "--markdown"):
        with pytest.raises(SystemExit):
            run(bundle, option, str(tmp_path / "none" / "f.svg"))
        assert f"{option}: expected a folder to write to" in capsys.readouterr().err


def test_peers_are_measured_where_there_are_exports(tmp_path: Path) -> None:
    assert parse_arguments(["-b", "x", "--exports", str(tmp_path)]).sections == list(SECTIONS)
    own = [name for name in SECTIONS if name not in ("peers", "end-to-end")]
    assert parse_arguments(["--bundle", "x"]).sections == own
    assert parse_arguments(["--only", "peers"]).sections == ["peers"]


def test_several_bundles_are_measured(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--only", "engines", "--engine", "native", "--no-memory"]
    assert run(bundle, "-b", str(bundle.path), str(bundle.path), *more) == 0
    assert capsys.readouterr().out.count("engines on random") == 3


def test_networks_that_are_not_there_end_it(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bundle, "--only", "peers") == 2
    assert "expected a folder with meliusnet22 as --exports, found none" in capsys.readouterr().err
    assert run(bundle, "--only", "end-to-end", "--exports", str(tmp_path)) == 2
    assert "expected a bundle's manifest, found none" in capsys.readouterr().err


def test_selftest_fails_on_a_difference(
    bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(bundle, "--selftest") == 0
    assert "identical to generic" in capsys.readouterr().out
    monkeypatch.setattr(bench, "run_selftest", lambda bundle: False)
    assert run(bundle, "--selftest") == 1


def test_wrong_bundle_ends_with_its_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--bundle", str(tmp_path)]) == 2
    assert "expected a bundle's manifest, found none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--runs", "0"], "--runs must be at least 1"),
        (["--threads", "-1"], "--threads must be at least 1"),
        (["--engine", "abacus"], "invalid choice: 'abacus'"),
        (["--only", "kernels,tea"], "--only: expected kernels, layers, networks, engines, end-"),
        (["--mobilenet", "no"], "--mobilenet: expected a folder, found no no"),
        (["--exports", "no"], "--exports: expected a folder, found no no"),
        (["--only", "engines"], "expected --bundle DIR to measure, found none"),
        ([], "expected --bundle DIR to measure, found none"),
        (["--cpus", "one"], "invalid literal"),
        (["--peer-python", "larq"], "expected NAME=PATH"),
        (["--peer-python", "larq=/no/python"], "found no file '/no/python'"),
        (["--plot", "f.png"], "expected a name that ends in .svg, found f.png"),
    ],
)
def test_wrong_option_is_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(options)
    assert message in capsys.readouterr().err


def test_module_can_be_run_alone(bundle: Bundle, repository: Path) -> None:
    command = [sys.executable, "-m", "runtime.bench", "--alone", "native", "--bundle"]
    answer = subprocess.run(
        [*command, str(bundle.path)], cwd=repository, capture_output=True, text=True, check=True
    )
    assert json.loads(answer.stdout)["peak_memory_bytes"] > 0
    assert answer.stderr == ""
