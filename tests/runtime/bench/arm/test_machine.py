"""The emulated machine: what it is made of, and its block counter, exact on a known loop."""

import subprocess
from pathlib import Path

import pytest

from runtime.bench.arm import machine
from runtime.bench.arm.blocks import count_instructions, parse_dump
from runtime.bench.arm.boards import BOARDS
from runtime.bench.arm.cycles import CoreModel
from runtime.bench.arm.emulated import MARK
from runtime.bench.arm.machine import FOLDER, LOCKED, build_plugin, make_machine, select_locked
from runtime.bench.arm.measure import run_network
from runtime.bench.arm.tools import Tools, find_tools
from runtime.engines.engine import load_engine
from runtime.errors import RuntimeFault
from runtime.measurement.inputs import make_images
from runtime.measurement.machine import ROOT
from tests.runtime.bundles import make_bundle

ROUNDS = 1000
PROGRAM = f"""\
#include <unistd.h>
int main(void) {{
  for (int round = 0; round < 2; ++round) {{
    getpgid({MARK} + 2 * round);
    asm volatile(
        "mov x0, #{ROUNDS}\\n"
        "1: eor v0.16b, v0.16b, v0.16b\\n"
        "ldr q1, [sp]\\n"
        "subs x0, x0, #1\\n"
        "b.ne 1b" ::: "x0", "v0", "v1", "cc");
    getpgid({MARK} + 2 * round + 1);
  }}
}}
"""
LOCK = """\
# A comment.
abc==1 \\
    --hash=sha256:0
abc-more==1 ; python_full_version < '3.12' \\
    --hash=sha256:1
abc-more==2 ; python_full_version >= '3.12' \\
    --hash=sha256:2
"""


@pytest.fixture(scope="module")
def tools() -> Tools:
    """Skips, naming the packages, where one is missing."""
    try:
        return find_tools()
    except RuntimeFault as reason:
        pytest.skip(f"no board is emulated: {reason}")


def test_lock_files_have_what_is_taken_from_them() -> None:
    for lock, names in LOCKED.items():
        text = select_locked((ROOT / ".locks" / f"{lock}.txt").read_text(), names)
        lines = text.splitlines()
        assert {line.split("==")[0] for line in lines if line[0] != " "} == set(names)
        assert sum("--hash=sha256:" in line for line in lines) >= len(names)


def test_packages_are_taken_with_hashes_and_markers() -> None:
    assert select_locked(LOCK, ["abc"]).splitlines() == LOCK.splitlines()[1:3]
    assert select_locked(LOCK, ["abc-more"]).splitlines() == LOCK.splitlines()[3:]
    with pytest.raises(ValueError, match="expected ab in the lock file, found none"):
        select_locked(LOCK, ["ab"])


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    made = []

    def make(path: Path) -> None:
        made.append(path)
        path.mkdir()

    first = machine._once(tmp_path, "root", "a", make)
    assert machine._once(tmp_path, "root", "a", make) == first
    assert len(made) == 1
    second = machine._once(tmp_path, "root", "b", make)
    assert second != first
    assert sorted(tmp_path.iterdir()) == [second]


def test_what_was_not_finished_is_made_anew(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.mkdir()
        raise RuntimeFault("no network")

    with pytest.raises(RuntimeFault):
        machine._once(tmp_path, "root", "a", fail)
    assert machine._once(tmp_path, "root", "a", Path.mkdir).is_dir()


@pytest.mark.qemu
def test_a_loop_is_counted_exactly(tools: Tools, tmp_path: Path) -> None:
    """Instructions of the loop, and a few around it; what runs between the two loops, too."""
    source, program, dump = tmp_path / "loop.c", tmp_path / "loop", tmp_path / "dump"
    source.write_text(PROGRAM)
    compiler = [tools["aarch64-linux-gnu-g++"], "-O2", "-static", "-x", "c++"]
    subprocess.run([*compiler, source, "-o", program], check=True)
    plugin = f"{build_plugin(tools, tmp_path)},out={dump}"
    subprocess.run(
        [tools["qemu-aarch64"], "-cpu", "cortex-a72", "-plugin", plugin, program], check=True
    )
    first, between, second = parse_dump(dump.read_text().splitlines())
    for section in (first, second):
        found = count_instructions(section)
        assert (found.vector, found.vector_memory) == (ROUNDS, ROUNDS)
        assert 2 * ROUNDS <= found.scalar <= 2 * ROUNDS + 40
    assert count_instructions(between).all <= 40


@pytest.mark.qemu
def test_a_counter_without_a_file_stops_the_emulator(tools: Tools, tmp_path: Path) -> None:
    plugin = build_plugin(tools, tmp_path)
    command = [tools["qemu-aarch64"], "-plugin", f"{plugin},out={tmp_path / 'no' / 'dump'}", "x"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode != 0
    assert "expected a file that can be written" in answer.stderr


@pytest.mark.qemu
@pytest.mark.slow
def test_the_emulated_engine_has_the_bits_of_this_machine(tools: Tools, tmp_path: Path) -> None:
    """A small network, whole and in its parts."""
    if not FOLDER.is_dir():
        pytest.skip("the emulated machine is not made: 'make bench-arm' makes it")
    bundle = make_bundle(tmp_path / "bundle", graphs=False)
    options = {"engine": "native", "model": str(bundle.path), "parts": True}
    board = BOARDS["pi4"]
    figures, logits = run_network(
        make_machine(tools), board, CoreModel(tools, board.model), options
    )
    assert figures["version"] == "neon"
    images = make_images(bundle, 1)
    assert (logits == load_engine(bundle, "native", 1).predict(images)).all()
    names = [part["name"] for part in figures["parts"]]
    assert names == ["stem", "stage1, transition1", "stage2", "head"]
    executed = sum(part["instructions"]["all"] for part in figures["parts"])
    # the engine does a little more than the network
    assert 0.5 * executed < figures["instructions"]["all"] < 2 * executed
    assert {"convolve_row", "count_prefix_neon"} & {f["name"] for f in figures["functions"]}
