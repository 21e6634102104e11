""".ci/figures: README's lines follow the pages they are taken from; those pages follow records."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = ("README.md", "models/RESULTS.md", "loadtests/RESULTS.md", "runtime/bench/README.md")
MANIFESTS = tuple(
    f"service/bundles/{name}/manifest.json" for name in ("default", "small", "mobilenet_v1")
)


def write(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    program = Path(__file__).resolve().parent.parent / ".ci" / "figures"
    command = [sys.executable, str(program), *options, str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def root(repository: Path, tmp_path: Path) -> Path:
    """The pages and records alone, to be changed."""
    for name in (*PAGES, *MANIFESTS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / name, tmp_path / name)
    for records in ("models/runs/references", "models/runs/held-out"):
        shutil.copytree(repository / records, tmp_path / records)
    return tmp_path


def replace(page: Path, before: str, after: str) -> None:
    """`before` is a regular expression: a table's figures change with each measurement."""
    text, count = re.subn(before, after, page.read_text())
    assert count
    page.write_text(text)


def test_only_what_is_between_the_marks_changes(root: Path) -> None:
    (root / "README.md").write_text(
        "# A\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nThe end.\n"
    )
    for _ in range(2):
        assert write(root).returncode == 0
        text = (root / "README.md").read_text()
        assert text.startswith("# A\n<!-- figures: begin -->\n\n- **")
        assert text.endswith("\n\n<!-- figures: end -->\nThe end.\n")
        assert "old" not in text


@pytest.mark.parametrize(
    ("page", "before", "after", "told"),
    [
        (MANIFESTS[0], r'"top1": [\d.]+', '"top1": 12.34', "pixels): 12.34 % top-1 of "),
        (MANIFESTS[0], '"bird"', '"auk"', "**Classes of `default`**, 22: auk, boat,"),
        ("models/RESULTS.md", r"160x160 \| 79\.3 ", "160x160 | 12.3 ", "MeliusNet22: 12.3 %"),
        (
            "models/RESULTS.md",
            r"random weights \| [\d.]+ ",
            "random weights | 12.3 ",
            ": 12.3 % of held",
        ),
        (
            "loadtests/RESULTS.md",
            r"(128x128 \|.*) [\d.]+ \| 1 \|",
            r"\1 7.77 | 1 |",
            "`default` 7.77 ms",
        ),
        ("runtime/bench/README.md", r"57\.20 \| 11\.0 ", "57.20 | 12.3 ", "12.3 times as long"),
        ("runtime/bench/README.md", r"44\.4: 0\.71x", "44.4: 0.01x", "Pi 4 0.01 to "),
        (
            "models/runs/held-out/default-strict.json",
            r'"balanced_top1": [\d.]+',
            '"balanced_top1": 77.4',
            "balanced 77.4 %",
        ),
        (
            "models/runs/references/default_one_of_each.json",
            r'"balanced_top1": [\d.]+',
            '"balanced_top1": 77.4',
            "balanced accuracy 77 /",
        ),
    ],
)
def test_lines_follow_their_sources(
    page: str, before: str, after: str, told: str, root: Path
) -> None:
    assert told not in write(root, "--print").stdout
    replace(root / page, before, after)
    assert told in write(root, "--print").stdout


@pytest.mark.parametrize(
    ("page", "before", "after", "expected"),
    [
        ("README.md", "<!-- figures: end -->", "", "README.md: expected the lines"),
        ("models/RESULTS.md", "meliusnet22-photos20-160", "other", "expected one row with"),
        (
            "runtime/bench/README.md",
            r"\| board \|",
            "| place |",
            "a table that begins with 'board'",
        ),
    ],
)
def test_a_page_without_its_figures_is_an_error(
    page: str, before: str, after: str, expected: str, root: Path
) -> None:
    replace(root / page, before, after)
    was = (root / "README.md").read_bytes()
    done = write(root)
    assert done.returncode == 1
    assert expected in done.stderr
    assert (root / "README.md").read_bytes() == was


def test_an_absent_page_is_an_error(root: Path) -> None:
    (root / "models" / "RESULTS.md").unlink()
    done = write(root)
    assert done.returncode == 1
    assert "models/RESULTS.md: expected a page" in done.stderr


def test_unknown_options_are_refused(root: Path) -> None:
    assert write(root, "--check").returncode == 2


def test_table_of_the_comparison_has_the_figures_of_its_record(repository: Path) -> None:
    """Row by row, in order: loadtests.comparison writes both."""
    record = json.loads((repository / "loadtests/results/comparison.json").read_text())
    page = (repository / "loadtests/RESULTS.md").read_text()
    block = page.partition("<!-- compare: begin -->")[2].partition("<!-- compare: end -->")[0]
    rows = [line.strip("| ").split(" | ") for line in block.splitlines() if "| `" in line]
    sides = [side for case in record["results"]["cases"] for side in case["sides"]]
    assert len(rows) == len(sides) > 10
    for row, side in zip(rows, sides, strict=True):
        assert row[1:3] == [f"`{side['engine']}`", f"{side['cpu_ms']['median']:.2f}"]
        assert row[6:8] == [
            f"{side['peak_rss_bytes'] / 2**20:.1f}",
            f"{side['model_bytes'] / 2**20:.2f}",
        ]
