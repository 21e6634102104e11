"""The stand-alone self-tests: here, with sanitizers, on emulated CPUs and architectures."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[3] / "runtime" / "csrc"
CROSS_COMPILER = "aarch64-linux-gnu-g++"
SIMDE = Path("/usr/include/simde/x86/avx512.h")


def build(folder: Path, *options: str) -> Path:
    """Configures and builds both self-tests alone, warnings as errors. Returns bnn_selftest."""
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    generator = ("-G", "Ninja") if shutil.which("ninja") else ()
    configure = ["cmake", "-S", str(SOURCES), "-B", str(folder), *generator]
    switches = ["-DBNN_TORCH=OFF", "-DBNN_SELFTEST=ON", "-DBNN_WERROR=ON", *options]
    for command in (
        [*configure, *switches],
        ["cmake", "--build", str(folder), "--target", "bnn_selftest", "bnn_randomtest"],
    ):
        result = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
    return folder / "bnn_selftest"


def run(*command: str | Path, **environment: str) -> str:
    """The output of a self-test that passed."""
    result = subprocess.run(
        command,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "FAIL" not in result.stdout
    assert result.stdout.rstrip().endswith(" 0 failed")
    return result.stdout


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The self-test built for this machine."""
    return build(tmp_path_factory.mktemp("selftest"))


def accepted(output: str) -> int:
    """How many random descriptions bnn_randomtest ran."""
    return int(output.split(" accepted")[0].split()[-1])


# The vectors of each implementation, and the tables of what kernels require of them.
FLOATS = ("floats/convolve.inc", "floats/pool.inc", "floats/winograd.inc", "floats/int8.inc")
SLICED = (
    *("sliced/sums.inc", "sliced/groups.inc", "sliced/elements.inc", "sliced/layer.inc"),
    *("sliced/pool.inc", "sliced/compare.inc"),
)
NUMBERS = "sliced/numbers_avx512.inc"
VECTORS = {
    "generic": {"floats": FLOATS},
    "avx2": {"floats": FLOATS, "sliced": SLICED},
    "avx512": {
        "floats": FLOATS,
        "sliced": (*SLICED, NUMBERS),
        "sliced half": (*SLICED[:5], NUMBERS),
    },
    "neon": {"floats": FLOATS, "sliced": SLICED},
    "neon_dot": {"floats": FLOATS[3:]},
}


def read_operations(table: str, arm: bool) -> set[str]:
    """The operations that a file of kernels requires at its head."""
    text = (SOURCES / "kernels" / table).read_text()
    if not arm:
        text = re.sub(r"#if defined\(__aarch64__\)\n.*?#endif", "", text, count=1, flags=re.DOTALL)
    called = re.findall(r"^BNN_REQUIRES\([\w ]+, (\w+)", text, re.MULTILINE)
    return {*called, *re.findall(r"^BNN_REQUIRES_VALUE\([\w ]+, (\w+)\(\)", text, re.MULTILINE)}


def assert_operations_tested(output: str, *implementations: str) -> None:
    """Each operation of each vector had its line, and it agreed with a loop over its lanes."""
    for name in implementations:
        for vector, tables in VECTORS[name].items():
            arm = name.startswith("neon")
            required = set().union(*(read_operations(table, arm) for table in tables))
            assert len(required) > 15
            line = rf"^ok   {name} +{vector}: (\w+)$"
            assert set(re.findall(line, output, re.MULTILINE)) == required, (name, vector)


def assert_choices_tested(output: str) -> None:
    """Any CPU tells what every other one would get, and every stage there."""
    for name in ("avx512", "avx2", "neon_dot", "neon", "generic"):
        assert re.search(rf"^ok   {name} +is chosen: ", output, re.MULTILINE)
        stages = re.findall(rf"^ok   {name} +chooses (\w+) for stage ", output, re.MULTILINE)
        assert len(stages) > 15
        assert set(stages) == {"popcount", *(["sliced"] if name != "generic" else [])}


@pytest.mark.slow
def test_on_this_machine(here):
    output = run(here)
    assert_choices_tested(output)
    skipped = re.findall(r"^skip (\w+)", output, re.MULTILINE)
    names = {"x86_64": ("generic", "avx2", "avx512"), "aarch64": ("generic", "neon", "neon_dot")}
    of_machine = names.get(platform.machine(), ("generic",))
    assert_operations_tested(output, *(name for name in of_machine if name not in skipped))
    assert accepted(run(here.with_name("bnn_randomtest"), "200")) > 100


def read_symbols(objects: Path) -> tuple[dict[str, str], dict[str, set[str]]]:
    """Symbol -> the room whose object defines it; room -> the symbols its objects look for."""
    defined: dict[str, str] = {}
    wanted: dict[str, set[str]] = {}
    for path in sorted(objects.rglob("*.o")):
        room = str(path.parent.relative_to(objects))
        answer = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
        for kind, name in re.findall(r"^[0-9a-f]* +(\w) (\S+)$", answer, re.MULTILINE):
            if kind == "U":
                wanted.setdefault(room, set()).add(name)
            elif kind in "TDRB":
                defined[name] = room
    return defined, wanted


@pytest.mark.slow
def test_no_symbol_is_used_against_the_order_of_the_rooms(here):
    """A declaration in a low room can hide an arrow from the includes; the linker sees it."""
    if shutil.which("nm") is None:
        pytest.skip("nm (package binutils) is not installed: the rooms' symbols not looked at")
    defined, wanted = read_symbols(here.parent / "CMakeFiles" / "bnn_objects.dir")
    table = (SOURCES / "README.md").read_text()
    order = re.findall(r"^\| `([\w/]+)/` \|", table, re.MULTILINE)
    assert set(defined.values()) <= set(order)
    assert {"core", "kernels/sliced", "parts"} <= wanted.keys()
    upwards = {
        (room, name, defined[name])
        for room, names in wanted.items()
        for name in names & defined.keys()
        if order.index(defined[name]) > order.index(room)
    }
    assert not upwards


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The self-test built with the sanitizers; skips where their runtime is missing."""
    folder = tmp_path_factory.mktemp("sanitized")
    (folder / "probe.cpp").write_text("int main() { return 0; }\n")
    compiler = os.environ.get("CXX", "c++").split()
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"compiler {compiler[0]} is not installed: kernels not run with sanitizers")
    options = ["-fsanitize=address,undefined", "probe.cpp", "-o", "probe"]
    for command in ([*compiler, *options], ["./probe"]):
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
            pytest.skip(f"sanitizer runtime is missing, kernels not run with it: {reason}")
    return build(folder / "build", "-DBNN_SANITIZE=ON")


SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


@pytest.mark.slow
def test_with_sanitizers(sanitized):
    """No access beside a buffer, no undefined operation; in the known shapes and in random ones."""
    assert "generic" in run(sanitized, **SANITIZER_OPTIONS)
    random = run(sanitized.with_name("bnn_randomtest"), "600", **SANITIZER_OPTIONS)
    assert accepted(random) > 300


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The self-test whose AVX-512 instructions are emulated on AVX2."""
    if platform.machine() != "x86_64":
        pytest.skip("not on x86-64: AVX-512 kernels not run")
    if not SIMDE.exists():
        pytest.skip("package libsimde-dev is not installed: AVX-512 kernels not run emulated")
    return build(tmp_path_factory.mktemp("emulated"), "-DBNN_EMULATE_AVX512=ON")


@pytest.mark.slow
def test_emulated_avx512(emulated):
    """Whatever the CPU: both kernel families on both sizes of vectors, and the float parts."""
    output = run(emulated)
    if "skip avx512" in output:
        pytest.skip("this CPU lacks AVX2 or FMA: AVX-512 kernels not run emulated")
    assert_choices_tested(output)
    assert_operations_tested(output, "avx512", "avx2")
    for check in (
        "stage 64x14x14, padding -1, even weights, popcount",
        "stage 64x14x14, padding 1, even weights, sliced",
        "stage 64x28x28, padding 0, skewed weights, sliced",
        "stage 32x56x56, padding 0, even weights, sliced",
        "stage 1600x17x2, padding 0, even weights, sliced",
        "stem 29x70",
        "transition 96x14x10, groups 4, shuffle 16",
        "head 70x7x7 to 101",
        "stem 29x70, 8-bit",
        "transition 96x14x10, groups 4, shuffle 16, 8-bit",
        "head 70x7x7 to 101, 8-bit",
    ):
        assert f"ok   avx512   {check}\n" in output
    assert accepted(run(emulated.with_name("bnn_randomtest"), "600")) > 300


@pytest.mark.slow
def test_the_emulation_cannot_be_installed(emulated, tmp_path):
    """Installed, it would be the first choice on every CPU with AVX2."""
    result = subprocess.run(
        ["cmake", "--install", str(emulated.parent), "--prefix", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "BNN_EMULATE_AVX512" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.qemu
@pytest.mark.parametrize(("cpu", "expected"), [("Haswell", "avx2"), ("qemu64", "generic")])
def test_on_older_cpus(here, cpu, expected):
    """Without AVX-512 avx2 runs, without AVX generic; neither meets a wide instruction."""
    emulator = shutil.which("qemu-x86_64-static") or shutil.which("qemu-x86_64")
    if platform.machine() != "x86_64" or emulator is None:
        pytest.skip("qemu-x86_64 (package qemu-user-static) is not installed, or not on x86-64")
    output = run(emulator, "-cpu", cpu, here, "brief")
    assert f"active: {expected}" in output
    checked = set(re.findall(r"^ok   (\w+) +(?:conv3x3|stage|stem|resize) ", output, re.MULTILINE))
    assert checked == {expected}


@pytest.fixture(scope="module")
def neon(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The emulator and the self-test cross-compiled for NEON; skips where a tool is missing."""
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    for tool, package in (
        (CROSS_COMPILER, "g++-aarch64-linux-gnu"),
        (emulator, "qemu-user-static"),
    ):
        if tool is None or shutil.which(tool) is None:
            pytest.skip(f"package {package} is not installed: NEON kernels not run")
    selftest = build(
        tmp_path_factory.mktemp("neon"),
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        f"-DCMAKE_CXX_COMPILER={CROSS_COMPILER}",
        "-DCMAKE_EXE_LINKER_FLAGS=-static",
    )
    return str(emulator), selftest


@pytest.mark.slow
@pytest.mark.qemu
def test_neon(neon):
    """Both NEON implementations, cross-compiled and emulated, by both kernel families."""
    emulator, selftest = neon
    output = run(emulator, selftest)
    assert "active: neon_dot" in output
    assert_choices_tested(output)
    assert_operations_tested(output, "neon", "neon_dot", "generic")
    for name in ("neon_dot", "neon    "):
        for family in ("popcount", "sliced"):
            assert re.search(f"ok   {name} stage .*, {family}\n", output)
        assert f"ok   {name} stem 29x70, 8-bit\n" in output
        assert f"ok   {name} resize 90x160x1 to 40, filter 1, orientation 1, inset 0\n" in output
    assert accepted(run(emulator, selftest.with_name("bnn_randomtest"), "200")) > 100
