"""README.md: its figures are those of records; paths, links and commands of documents exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.bench.report import SECTIONS
from service.routes.schemas import ClassifyBody, ModelBody, PredictionBody, TimingsBody
from service.settings.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
FOLDERS = ("bnn_client", "deploy", "examples", "k8s", "loadtests", "models", "runtime", "service")
DOCUMENTS = sorted(
    {*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))}
)


def find_commands(text: str) -> list[str]:
    """Lines of indented blocks, those continued by a backslash as one, without comments."""
    lines = re.findall(r"^    (\S.*)$", text.replace("\\\n", " "), re.MULTILINE)
    return [re.sub(r"\s+#.*", "", line) for line in lines]


def test_figures_are_those_of_records_and_tables() -> None:
    """By the program that writes them; tests/test_figures.py tests the program."""
    made = subprocess.run(
        [sys.executable, ROOT / ".ci" / "figures", "--print"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    _, begin, rest = README.partition("<!-- figures: begin -->\n\n")
    block, end, _ = rest.partition("\n<!-- figures: end -->")
    assert begin
    assert end
    assert block == made


def test_it_stays_short() -> None:
    assert len(README.split()) < 1100


def test_each_folder_of_the_repository_is_in_the_map() -> None:
    tracked = subprocess.run(
        ["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("not a git work tree, or no git: what belongs to the repository is unknown")
    folders = {name.partition("/")[0] for name in tracked.stdout.splitlines() if "/" in name}
    rows = "".join(re.findall(r"^\| (.*?) \|", README, re.MULTILINE))
    named = set(re.findall(r"([\w.]+)/[\]`]", rows))
    assert named == folders


def test_a_first_answer_has_the_members_that_are_shown() -> None:
    """Those of the service's own description of an answer."""
    shown = set(re.findall(r'"(\w+)":', README))
    properties = {
        name
        for model in (ClassifyBody, ModelBody, PredictionBody, TimingsBody)
        for name in model.model_fields
    }
    assert {"predictions", "label", "engine", "timings_ms"} <= shown <= properties


def test_modules_and_options_of_its_commands_exist() -> None:
    """Asked for their --help: what a command of the README names is there."""
    commands = [line for line in find_commands(README) if line.startswith(".venv/bin/")]
    modules = {name for line in commands for name in re.findall(r"-m ([\w.]+)", line)}
    assert modules == {"models.train", "models.export"}
    for module in sorted(modules):
        options = {
            option
            for line in commands
            if f"-m {module} " in line
            for option in re.findall(r"(?<!\S)--[\w-]+", line)
        }
        text = subprocess.run(
            [sys.executable, "-m", module, "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert options <= set(re.findall(r"--[\w-]+", text)), module


def test_sections_of_the_benchmark_exist() -> None:
    """In every document, after --only."""
    named = set()
    for document in DOCUMENTS:
        for names in re.findall(r"--only ([a-z][a-z,-]+)", document.read_text()):
            named |= set(names.split(","))
    assert {"networks", "engines"} <= named <= set(SECTIONS)


def test_settings_of_its_commands_exist() -> None:
    named = set(re.findall(r"\bBNN_[A-Z_]+", README))
    assert named
    assert named <= {f"BNN_{name.upper()}" for name in Settings.model_fields}


def test_paths_exist() -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)}|tests|\.locks)/[\w./-]*)`", README)
    assert linked
    assert named
    for path in {*linked, *named}:
        assert (ROOT / path).exists(), path


def list_anchors(document: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\((?!http)([^)\s]+)\)", document.read_text()):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in list_anchors(target), link


def test_make_targets_exist() -> None:
    """In every document, at the start of a line of code or in a word of it."""
    makefile = (ROOT / "Makefile").read_text() + (ROOT / "runtime/bench/measure.mk").read_text()
    found = set()
    for document in DOCUMENTS:
        text = document.read_text()
        found |= set(
            re.findall(r"(?m)(?:^    |&& )make (?:-k )?([a-z][a-z0-9-]+)(?![\w/.-])", text)
        )
        found |= set(re.findall(r"`make\s(?:-k )?([a-z][a-z0-9-]+)(?![\w/.-])", text))
    assert found >= {"serve", "test", "image", "wheel-arm64", "raspberry-pi", "manifest-tools"}
    for target in found:
        assert re.search(rf"(?m)^{target}:", makefile), target


def test_nothing_is_left_to_fill_in() -> None:
    assert "@@" not in README
