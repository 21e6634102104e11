"""The progress line: at terminals only; notes stay everywhere."""

import io

from loadtests.command_line.progress import Progress


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        """It is."""
        return True


def test_a_file_gets_notes_only() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    progress.show("1/2")
    progress.note("half")
    progress.clear()
    assert stream.getvalue() == "half\n"


def test_a_terminal_s_line_is_replaced_and_taken_away() -> None:
    stream = Terminal()
    progress = Progress(stream)
    progress.show("1/2")
    progress.note("half")
    progress.clear()
    assert stream.getvalue() == "\r\x1b[K1/2\r\x1b[Khalf\n"
