"""A worker that has no model and does what the names say; for tests of its processes."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from typing import Any

from service.bulk.rows import Row, describe_failure
from service.bulk.worker import ImageWorker
from service.classification.classifier import Prediction
from service.settings.settings import Settings


class ObedientWorker(ImageWorker):
    """kill*: dies; hang*: sleeps; slow*: sleeps half a second; bad*: an error; once*: dies where

    no file tells that it did.
    """

    def __init__(self, start: str = "", folder: str = "") -> None:
        super().__init__(Settings(), None)
        self._start = start
        self._folder = folder

    def __reduce__(self) -> Any:
        return ObedientWorker, (self._start, self._folder)

    def load(self) -> Any:
        """Dies or fails, if it was made to."""
        if self._start == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._start == "fail":
            raise ValueError("no model")

    def classify_each(self, names: Sequence[str]) -> Iterator[Row]:
        """A row for each name, unless one of them ends the process."""
        return map(self._obey, names)

    def _obey(self, name: str) -> Row:
        if name.startswith("hang"):
            time.sleep(3600)
        if name.startswith("slow"):
            time.sleep(0.5)
        first = name.startswith("once") and not os.path.exists(f"{self._folder}/{name}")
        if first:
            with open(f"{self._folder}/{name}", "x"):
                pass
        if first or name.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("bad"):
            return describe_failure(name, "unreadable", "bad")
        return Row(name, (Prediction("x", 0, 1.0),), engine=str(os.getpid()))
