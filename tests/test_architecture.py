"""The shape of the repository: layout, import rules, test twins, file sizes, first lines."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("service", "models", "runtime", "loadtests", "bnn_client")
TOP_LEVEL = {
    *PACKAGES,
    *("examples", "findings", "k8s", "tests", "Dockerfile", "pyproject.toml", "README.md"),
    *("compose.yaml", "deploy", "Makefile", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"),
}
CODE = {
    *(".py", ".c", ".cpp", ".h", ".inc", ".html", ".css", ".js", ".mjs"),
    *(".toml", ".yaml", ".yml", ".sh", ".service", ".cmake", ".in", ".mk"),
}
CODE_NAMES = {
    *("Dockerfile", "Makefile", "CMakeLists.txt", "install"),
    *(".clang-format", ".dockerignore", ".gitignore", ".yamllint"),
}
LINES, TEST_LINES, COMMAND_LINES = 400, 600, 150


def list_files(root: Path) -> list[Path]:
    """What git has or would add, relative to the root."""
    answer = subprocess.run(
        ["git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True,
        check=False,
    )
    if answer.returncode:
        pytest.skip("not a git work tree, or no git: what belongs to the repository is unknown")
    names = [os.fsdecode(name) for name in answer.stdout.split(b"\0") if name]
    return sorted(Path(name) for name in names if (root / name).is_file())


@pytest.fixture(scope="module")
def files(repository: Path) -> list[Path]:
    return list_files(repository)


def show(paths: list[Path]) -> str:
    return ", ".join(map(str, paths))


def is_code(path: Path) -> bool:
    # Reports, which the tools have written, and lists of repositories.
    if path.parent in (Path("loadtests/results"), Path("models/recipes/sources")):
        return False
    return path.suffix in CODE or path.name in CODE_NAMES or path.parent == Path(".ci")


def test_top_level_is_as_fixed(files: list[Path]) -> None:
    found = {path.parts[0] for path in files if not path.parts[0].startswith(".")}
    assert found == TOP_LEVEL


def test_each_module_has_a_test_twin(files: list[Path]) -> None:
    present = set(files)
    without = [
        path
        for path in files
        if path.suffix == ".py"
        and path.parts[0] in PACKAGES
        and path.name != "__init__.py"
        and Path("tests", *path.parts[:-1], f"test_{path.stem.strip('_')}.py") not in present
    ]
    assert not without, f"without tests/<package>/test_<module>.py: {show(without)}"


def test_each_twin_has_a_module(files: list[Path]) -> None:
    present = set(files)
    strays = [
        path
        for path in files
        if path.parts[0] == "tests"
        and path.suffix == ".py"
        and path.name.startswith("test_")
        and path.parts[1] in PACKAGES
        and path.parts[2] != "csrc"
        and not {
            Path(*path.parts[1:-1], path.name.removeprefix("test_")),
            Path(*path.parts[1:-1], f"__{path.stem.removeprefix('test_')}__.py"),
        }
        & present
    ]
    assert not strays, f"without <package>/<module>.py: {show(strays)}"


def test_no_file_is_too_long(repository: Path, files: list[Path]) -> None:
    lengths = {
        path: (repository / path).read_bytes().count(b"\n") for path in filter(is_code, files)
    }
    limits = {path: TEST_LINES if path.parts[0] == "tests" else LINES for path in lengths}
    too_long = {path: length for path, length in lengths.items() if length > limits[path]}
    assert not too_long, f"over {LINES} lines ({TEST_LINES} in tests): {too_long}"


#: The first comment or docstring of a file: in Python, C and C++ or CSS, HTML, and with marks on
#: each line. What must come before it is left out: the interpreter, a doctype.
FIRST_COMMENT = re.compile(
    r"""(?:\#![^\n]*\n|<!doctype\ html>\n)?
    (?: r?\"""(?P<docstring>.*?)\""" | /\*(?P<block>.*?)\*/ | <!--(?P<markup>.*?)-->
      | (?P<lines>(?:(?:\#|//)[^\n]*\n)+) )""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
SENTENCE = re.compile(r"\S.{9,}?[.!](\s|$)", re.DOTALL)  # it may span lines, not paragraphs


def read_first_paragraph(text: str) -> str:
    """Of the first comment or docstring of a file; empty where the file begins with neither."""
    found = FIRST_COMMENT.match(text)
    if found is None:
        return ""
    comment = next(group for group in found.groups() if group is not None)
    comment = re.sub(r"^(#|//| *\*) ?", "", comment, flags=re.MULTILINE).strip()
    return comment.partition("\n\n")[0]


def test_each_file_begins_with_a_whole_sentence(repository: Path, files: list[Path]) -> None:
    """Its purpose, on the first lines; .locks/*.in and .ci are code, too."""
    unclear = {
        str(path): paragraph
        for path in filter(is_code, files)
        if not SENTENCE.match(
            paragraph := read_first_paragraph((repository / path).read_text(encoding="utf-8"))
        )
    }
    assert not unclear, f"the first sentence must say what the file is for: {unclear}"


@pytest.mark.parametrize(
    ("text", "paragraph"),
    [
        ('"""Says what\nit is for.\n\nMore."""\n', "Says what\nit is for."),
        ('#!/usr/bin/env python3\nr"""Runs it."""\n', "Runs it."),
        ("#!/bin/sh\n# Runs\n# it.\n#\n# More.\n", "Runs\nit."),
        ("// Runs it.\nint x;  // not this\n", "Runs it."),
        ("/* Runs\n * it. */\n", "Runs\nit."),
        ("<!DOCTYPE html>\n<!-- A page. -->\n", "A page."),
        ("import sys\n# Too late.\n", ""),
        ("", ""),
    ],
)
def test_the_first_paragraph_is_found(text: str, paragraph: str) -> None:
    assert read_first_paragraph(text) == paragraph


def test_a_sentence_ends_in_a_full_stop() -> None:
    assert SENTENCE.match("Says what\nit is for. And more")
    assert not SENTENCE.match("Says what it is for: kubectl apply -k k8s/base")
    assert not SENTENCE.match("Reads a.toml and stops in the middle of")


def test_kernel_sources_begin_with_a_whole_sentence(repository: Path, files: list[Path]) -> None:
    """On their first line: what more there is to say follows. Rules of a section are one line."""
    sources = [
        path
        for path in files
        if path.is_relative_to("runtime/csrc") and path.suffix in {".h", ".cpp", ".inc"}
    ]
    assert len(sources) > 60
    texts = {path: (repository / path).read_text() for path in sources}
    whole = re.compile(r"(//|/\*) \S.{9,}[.!]( \*/)?\n")
    stopped = [path for path, text in texts.items() if not whole.match(text)]
    assert not stopped, f"the first line must be a whole sentence: {show(stopped)}"
    broken = [path for path, text in texts.items() if re.search(r"^// ?-{4,}$", text, re.MULTILINE)]
    assert not broken, f"rules of sections broken in two: {show(broken)}"


def test_first_sentence_of_each_file_of_models_is_whole(
    repository: Path, files: list[Path]
) -> None:
    """On the first line: what stops in the middle of it tells nobody what the file is for."""
    cut = [
        f"{path}: {first!r}"
        for path in files
        if path.suffix == ".py" and "models" in path.parts[:2]
        for first in [(repository / path).read_text().partition("\n")[0]]
        if not re.fullmatch(r'r?""".*\.("{3})?', first)
    ]
    assert not cut, f"the first sentence must end on the first line: {cut}"


def test_a_file_in_models_is_a_command(repository: Path, files: list[Path]) -> None:
    """And a short one: what it does lies in the folders."""
    modules = [path for path in files if path.parent == Path("models") and path.suffix == ".py"]
    commands = [path for path in modules if path.stem not in ("__init__", "errors")]
    assert len(commands) > 10
    for path in commands:
        text = (repository / path).read_text()
        assert "def main(" in text and f"python -m models.{path.stem}" in text, path  # noqa: PT018
        assert text.count("\n") <= COMMAND_LINES, f"{path} has more than {COMMAND_LINES} lines"


def test_what_names_its_interpreter_can_be_run(repository: Path, files: list[Path]) -> None:
    """In a clone as here: git keeps the executable bit."""
    stages = subprocess.run(
        ["git", "-C", repository, "ls-files", "--stage"], capture_output=True, text=True, check=True
    ).stdout
    modes = {line.partition("\t")[2]: line.split()[0] for line in stages.splitlines()}
    scripts = [path for path in files if (repository / path).read_bytes().startswith(b"#!")]
    assert {"build-wheel", "install"} <= {path.name for path in scripts}
    plain = [
        path
        for path in scripts
        if modes.get(str(path), "100755") != "100755" or not os.access(repository / path, os.X_OK)
    ]
    assert not plain, f"chmod +x: {show(plain)}"


def test_import_rules_hold(repository: Path) -> None:
    program = "from importlinter.cli import lint_imports_command as run; run()"
    answer = subprocess.run(
        [sys.executable, "-c", program, "--no-cache", "--config", ".ci/imports.toml"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_onnxruntime_is_imported_where_it_is_silenced(repository: Path, files: list[Path]) -> None:
    """In tests as well: import-linter sees packages alone."""
    pattern = re.compile(rb"^\s*(import|from) onnxruntime\b", re.MULTILINE)
    found = [
        path
        for path in files
        if path.suffix == ".py" and pattern.search((repository / path).read_bytes())
    ]
    names = ("label", "onnxruntime", "quantize")
    peers = [Path("runtime/bench/peers") / f"{name}_peer.py" for name in names]
    network = Path("loadtests/peers/network.py")
    assert found == [network, *peers, Path("runtime/engines/onnx_sessions.py")]


@pytest.mark.parametrize("package", ["runtime", "service.settings.settings"])
def test_importing_loads_no_tensor_library(repository: Path, package: str) -> None:
    heavy = ["torch", "onnxruntime", *(["fastapi"] if package == "runtime" else [])]
    program = f"import sys, {package}; print([n for n in {heavy!r} if n in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
