"""What an emulated board's system says of itself, in the words of Linux."""

from pathlib import Path

import pytest

from runtime.bench.arm.boards import BOARDS, CORES, write_system


@pytest.mark.parametrize("name", BOARDS)
def test_programs_find_the_boards_cores(name: str, tmp_path: Path) -> None:
    board = BOARDS[name]
    for _ in range(2):  # a second time writes the same
        cpuinfo, system = write_system(board, tmp_path)
        records = cpuinfo.read_text().split("\n\n")[:-1]
        fields = [
            dict(line.split("\t: ") for line in r.splitlines() if "\t" in r and "\t: " in line)
            for r in records
        ]
        assert [int(field["processor"]) for field in fields] == list(range(CORES))
        assert {field["CPU part"] for field in fields} == {board.part}
        assert (system / "devices/system/cpu/possible").read_text() == "0-3\n"


def test_only_the_newer_core_has_dot_products() -> None:
    assert "asimddp" in BOARDS["pi5"].features.split()
    assert "asimddp" not in BOARDS["pi4"].features.split()
