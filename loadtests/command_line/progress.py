"""A line at a terminal that says how far a run is; elsewhere only lines for a log."""

import sys
from typing import TextIO


class Progress:
    """Writes to stderr: results go elsewhere."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._at_terminal = self._stream.isatty()
        self._shown = False

    def show(self, text: str) -> None:
        """Shows what is going on now, in place of the line before. Only at a terminal."""
        if self._at_terminal:
            self._stream.write(f"\r\x1b[K{text}")
            self._stream.flush()
            self._shown = True

    def note(self, text: str) -> None:
        """A line that stays."""
        self.clear()
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Removes the shown line."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False
