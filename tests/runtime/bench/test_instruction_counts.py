"""Counting instructions from an emulator's log: exact on a loop whose instructions are known."""

import shutil
import subprocess
from pathlib import Path

import pytest

from runtime.bench import instruction_counts
from runtime.bench.instruction_counts import Instructions, classify, count_log

BEGIN, END = 0x400720, 0x400730
LOG = """\
----------------
IN: begin_count
0x00400720:  d503201f  nop
0x00400724:  d65f03c0  ret

Trace 0: 0x7f1 [0000000001009331/0000000000400720/00000001/00000200] begin_count
----------------
IN: count
0x00400800:  6e201c00  eor      v0.16b, v0.16b, v0.16b
0x00400804:  3dc003e1  ldr      q1, [sp]
0x00400808:  f1000400  subs     x0, x0, #1
0x0040080c:  54ffffa1  b.ne     #0x400800

Trace 0: 0x7f2 [0000000001009331/0000000000400800/00000001/00000200] count
Trace 0: 0x7f2 [0000000001009331/0000000000400800/00000001/00000200] count
----------------
IN: end_count
0x00400730:  d503201f  nop

Trace 0: 0x7f3 [0000000001009331/0000000000400730/00000001/00000200] end_count
Trace 0: 0x7f2 [0000000001009331/0000000000400800/00000001/00000200] count
"""


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        (0x6E201C00, 0),  # eor v0.16b, v0.16b, v0.16b
        (0x6E611C00, 0),  # bsl v0.16b, v0.16b, v1.16b
        (0x4E205800, 0),  # cnt v0.16b, v0.16b
        (0x4E040C00, 0),  # dup v0.4s, w0
        (0x3DC003E1, 1),  # ldr q1, [sp]
        (0x3CE17800, 1),  # ldr q0, [x0, x1, lsl #4]
        (0xAD400440, 1),  # ldp q0, q1, [x2]
        (0x4D40C820, 1),  # ld1r {v0.4s}, [x1]
        (0xF9400020, 2),  # ldr x0, [x1]
        (0x78402C41, 2),  # ldrh w1, [x2, #2]!
        (0x92403C00, 2),  # and x0, x0, #0xffff
        (0xD3507C00, 2),  # ubfx x0, x0, #16, #16
        (0x54FFFFA1, 2),  # b.ne
        (0xD65F03C0, 2),  # ret
    ],
)
def test_instructions_are_told_apart_by_their_encoding(word, kind):
    assert classify(word) == kind


def test_blocks_between_the_marks_are_counted():
    found = count_log(LOG.splitlines(), BEGIN, END)
    assert found == Instructions(vector=2, vector_memory=2, scalar=4)
    assert found.all == 8


def test_a_log_without_marks_is_refused():
    with pytest.raises(ValueError, match="both marks"):
        count_log(LOG.splitlines(), BEGIN, 0x1234)


def test_missing_tools_are_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="qemu-user-static"):
        instruction_counts.find_emulator()
    assert instruction_counts.main(["--build", str(tmp_path)]) == 2
    assert "expected cmake, found none" in capsys.readouterr().err
    monkeypatch.setattr(shutil, "which", lambda name: name if name == "cmake" else None)
    assert instruction_counts.main([]) == 2
    assert "g++-aarch64-linux-gnu" in capsys.readouterr().err


def test_a_failing_build_is_reported(monkeypatch, capsys):
    def fail(folder: Path) -> Path:
        raise subprocess.CalledProcessError(1, "cmake")

    monkeypatch.setattr(instruction_counts, "build_program", fail)
    assert instruction_counts.main([]) == 1
    assert "cmake" in capsys.readouterr().err


def test_the_table_is_per_vector_of_multiplications(monkeypatch, capsys):
    """128 binary multiply-adds each."""
    vectors = 56 * 56 * 64 * 9 * 64 // 128

    def count(program: Path, family: str, side: int, channels: int) -> Instructions:
        times = {"popcount": 3, "sliced": 1}[family] * (side * side * channels) // (56 * 56)
        return Instructions(vectors * times // 64, vectors * times // 128, 0)

    monkeypatch.setattr(instruction_counts, "build_program", lambda folder: folder)
    monkeypatch.setattr(instruction_counts, "count_layer", count)
    assert instruction_counts.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(instruction_counts.LAYERS)
    assert lines[2] == "| 56x56x64 | 3.00 | 1.50 | 4.50 | 1.00 | 0.50 | 1.50 |"
    assert lines[4] == "| 28x28x160 | 3.00 | 1.50 | 4.50 | 1.00 | 0.50 | 1.50 |"


def test_layers_may_be_named(monkeypatch, capsys):
    monkeypatch.setattr(instruction_counts, "build_program", lambda folder: folder)
    monkeypatch.setattr(instruction_counts, "count_layer", lambda *layer: Instructions(1, 1, 1))
    assert instruction_counts.main(["--layer", "20x320", "--layer", "8x64"]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == ["| 20x20x320", "| 8x8x64"]


@pytest.mark.parametrize("text", ["20", "0x64", "65x64", "8x48", "8x3648", "8x-32", "ax64"])
def test_a_layer_that_cannot_be_is_refused(text, capsys):
    with pytest.raises(SystemExit):
        instruction_counts.main(["--layer", text])
    assert f"such as 20x320; found {text}" in capsys.readouterr().err


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The counted program; skips where a tool is missing."""
    try:
        instruction_counts.find_emulator()
        return instruction_counts.build_program(tmp_path_factory.mktemp("counted"))
    except FileNotFoundError as error:
        pytest.skip(f"NEON instructions not counted: {error}")


@pytest.mark.slow
@pytest.mark.qemu
def test_a_loop_is_counted_exactly(program):
    """1000 rounds of a vector operation, a vector load and two others; two frame them."""
    assert instruction_counts.count_instructions(program, "calibrate") == Instructions(
        vector=1000, vector_memory=1000, scalar=2002
    )


@pytest.mark.slow
@pytest.mark.qemu
def test_the_bit_sliced_family_needs_fewer_vector_instructions(program):
    popcount, sliced = (
        instruction_counts.count_layer(program, family, 28, 96) for family in ("popcount", "sliced")
    )
    assert 2 * sliced.vector < popcount.vector
