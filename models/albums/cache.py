"""Keeps what was read of each photo, by the content of its file, so that it is scored once."""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.albums.exif import Taken
from models.errors import DataError

FILE = "album-cache.sqlite"
FORMAT = 1
#: of SQLite, what is no fault of the file's content
_OUTSIDE = (
    *(sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY),
    *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN),
)


def find_default_folder() -> Path:
    """The user's folder for caches, by the XDG specification."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "bnn-service"


@dataclass(frozen=True)
class Kept:
    """logits [logits] of a bundle, EXIF metadata, and a small JPEG of what the network sees."""

    logits: NDArray[np.float32]
    taken: Taken
    thumbnail: bytes


class Cache:
    """A file in a folder, which is made; two commands may use it at once. A context manager.

    model: names the bundle and all else that logits depend on; logits: how many a photo has.
    Raises DataError for a file that is no such cache, that is damaged, or cannot be written.
    """

    def __init__(self, folder: Path, model: str, logits: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / FILE
        self._model = f"{FORMAT} {model}"
        self._logits = logits
        with self._faults():
            self._base = sqlite3.connect(self._path, timeout=60)
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS photos (sha256 TEXT, model TEXT, logits BLOB, "
                "taken TEXT, thumbnail BLOB, PRIMARY KEY (sha256, model))"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """What was added so far stays, whatever happened."""
        with self._faults():
            self._base.commit()
        self._base.close()

    def find(self, sha256: str) -> Kept | None:
        """What was kept of a file with these bytes, by this model."""
        with self._faults():
            row = self._base.execute(
                "SELECT logits, taken, thumbnail FROM photos WHERE sha256 = ? AND model = ?",
                (sha256, self._model),
            ).fetchone()
            if row is None:
                return None
            logits = np.frombuffer(row[0], np.float32)
            if len(logits) != self._logits or not np.isfinite(logits).all():
                raise ValueError(f"no {self._logits} logits")
            if not isinstance(row[2], bytes):
                raise TypeError("no thumbnail")
            return Kept(logits, _read_taken(json.loads(row[1])), row[2])

    def add(self, sha256: str, kept: Kept) -> None:
        with self._faults():
            self._base.execute(
                "INSERT OR REPLACE INTO photos VALUES (?, ?, ?, ?, ?)",
                (
                    *(sha256, self._model, kept.logits.astype(np.float32).tobytes()),
                    *(json.dumps(asdict(kept.taken)), kept.thumbnail),
                ),
            )

    def commit(self) -> None:
        """What was added stays, even if the power fails."""
        with self._faults():
            self._base.commit()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError, KeyError) as fault:
            if getattr(fault, "sqlite_errorcode", 0) & 0xFF in _OUTSIDE:
                raise DataError(
                    f"{self._path}: expected a file to read and write; found: {fault}. Correct "
                    "that, or name another folder with --cache."
                ) from fault
            raise DataError(
                f"{self._path}: expected a cache of models.album; found: {fault}. Remove the file, "
                "or name another folder with --cache; photos are then scored again."
            ) from fault


def _read_taken(fields: dict[str, Any]) -> Taken:
    """Raises ValueError, TypeError or KeyError for other fields than `add` has written."""
    place = None if fields["place"] is None else tuple(fields["place"])
    taken = Taken(**fields | {"place": place})
    numbers = [n for n in (taken.seconds, taken.zone) if n is not None] + list(place or ())
    texts = [text for text in (taken.camera, taken.serial) if text is not None]
    fit = all(isinstance(n, float) and math.isfinite(n) for n in numbers)
    if not fit or not all(isinstance(text, str) for text in texts) or len(place or "ab") != 2:
        raise ValueError("other metadata")
    return taken
