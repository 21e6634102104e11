"""The tables at the heads of the .inc files: what a vector lacks fails there, with its name."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[3] / "runtime" / "csrc"
KERNELS = SOURCES / "kernels"
CROSS_COMPILER = "aarch64-linux-gnu-g++"
X86 = platform.machine() == "x86_64"

# The file of kernels, the vector in it, and where its tables are.
FLOATS = ("convolve.inc", "pool.inc", "winograd.inc", "int8.inc")
SLICED = ("sums.inc", "groups.inc", "elements.inc", "layer.inc", "pool.inc", "compare.inc")
CASES = {
    "floats/generic": FLOATS,
    "floats/avx512": FLOATS,
    "floats/neon": FLOATS,
    "sliced/avx2": SLICED,
    "sliced/avx512": ("numbers_avx512.inc", *SLICED),
    "sliced/avx512_half": ("numbers_avx512.inc", *SLICED[:5]),
    "sliced/neon": SLICED,
}


def read_required(table: Path, arm: bool) -> dict[str, int]:
    """Operation or constant -> the line that requires it."""
    found, is_left_out = {}, False
    for number, line in enumerate(table.read_text().splitlines(), start=1):
        if line.startswith("#"):
            is_left_out = line == "#if defined(__aarch64__)" and not arm
        match = re.match(r"BNN_REQUIRES(?:_VALUE)?\([\w ]+, (\w+)", line)
        if match and not is_left_out:
            found.setdefault(match[1], number)
    return found


def compile_with(folder: Path, name: str, vectors: str) -> subprocess.CompletedProcess[str]:
    """Looks at the syntax of kernels/NAME.cpp with another text of its vector."""
    family, implementation = name.split("/")
    copy = folder / "kernels" / family / f"vectors_{implementation}.inc"
    copy.parent.mkdir(parents=True)
    copy.write_text(vectors)
    if "neon" in name and platform.machine() != "aarch64":
        compiler = [CROSS_COMPILER]
    else:
        compiler = os.environ.get("CXX", "c++").split()
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"compiler {compiler[0]} is not installed: the tables not compiled")
    if "avx" in name and not X86:
        pytest.skip("not on x86-64: the tables not compiled for AVX")
    options = ["-std=c++17", "-fsyntax-only", f"-I{folder}", f"-I{SOURCES}"]
    return subprocess.run(
        [*compiler, *options, str(KERNELS / f"{name}.cpp")],
        env=os.environ | {"LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )


def read_vectors(name: str) -> str:
    family, implementation = name.split("/")
    return (KERNELS / family / f"vectors_{implementation}.inc").read_text()


@pytest.mark.parametrize("name", CASES)
def test_each_table_is_met(tmp_path, name):
    result = compile_with(tmp_path, name, read_vectors(name))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", CASES)
def test_what_is_missing_is_named_in_its_line_of_the_table(tmp_path, name):
    """All of it at once: every line of the tables must complain."""
    family = KERNELS / name.split("/")[0]
    required = {
        (table, operation): line
        for table in CASES[name]
        for operation, line in read_required(family / table, arm="neon" in name).items()
    }
    if "numbers_avx512.inc" in CASES[name]:  # which defines them for both sizes of vectors
        for shared in ("unpack_numbers", "write_pooled", "write_levels", "kPooledLanes"):
            required = {key: line for key, line in required.items() if key[1] != shared}
    assert len(required) > 15
    vectors = read_vectors(name)
    for _, operation in required:
        vectors = re.sub(rf"\b{operation}\b", f"gone_{operation}", vectors)
    result = compile_with(tmp_path, name, vectors)
    assert result.returncode != 0
    silent = [
        key
        for key, line in required.items()
        if not re.search(rf"/{key[0]}:{line}:\d+: error: .*\b{key[1]}\b", result.stderr)
    ]
    assert not silent, result.stderr[:2000]


def test_an_operation_of_another_type_fails_with_its_signature(tmp_path):
    vectors = read_vectors("floats/generic")
    changed = vectors.replace("BNN_INLINE Vec larger_all(", "BNN_INLINE double larger_all(")
    assert changed != vectors
    result = compile_with(tmp_path, "floats/generic", changed)
    assert result.returncode != 0
    assert "requires Vec larger_all(Vec, Vec)" in result.stderr


def test_the_document_quotes_a_line_of_a_table():
    quoted = re.search(
        r"^    (\S+):(\d+):.*\n +\2 \| (.*)$", (SOURCES / "README.md").read_text(), re.MULTILINE
    )
    assert quoted is not None
    path, line, text = quoted.groups()
    assert (SOURCES / path).read_text().splitlines()[int(line) - 1] == text


def test_every_file_of_kernels_begins_with_its_table():
    for path in KERNELS.rglob("*.inc"):
        if path.name.startswith("vectors_"):
            continue
        head = path.read_text().split("\n\n")[1]
        assert head.startswith("// ---- requires"), path
