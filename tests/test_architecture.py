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
    *(".toml", ".yaml", ".yml", ".sh", ".service", ".mk"),
}
CODE_NAMES = {
    *("Dockerfile", "Makefile", "CMakeLists.txt", "install"),
    *(".clang-format", ".dockerignore", ".gitignore"),
}
LINES, TEST_LINES = 400, 600


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
    if path.parent == Path("loadtests/results"):  # reports, which the tools have written
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


def test_first_line_of_each_file_states_its_purpose(repository: Path, files: list[Path]) -> None:
    unclear = []
    for path in filter(is_code, files):
        lines = (repository / path).read_text().splitlines()
        if path.suffix == ".html":  # a doctype must come first
            continue
        first = lines[1] if lines and lines[0].startswith("#!") else lines[0] if lines else ""
        if not re.match(r'(r?"""|#|//|/\*) ?[^\s#].{9,}', first):
            unclear.append(f"{path}: {first!r}")
    assert not unclear, f"the first line must say what the file is for: {unclear}"


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
        [sys.executable, "-c", program, "--no-cache"],
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


@pytest.mark.parametrize("package", ["runtime", "service.settings"])
def test_importing_loads_no_tensor_library(repository: Path, package: str) -> None:
    heavy = ["torch", "onnxruntime", *(["fastapi"] if package == "runtime" else [])]
    program = f"import sys, {package}; print([n for n in {heavy!r} if n in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=repository, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
