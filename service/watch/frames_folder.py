"""Frames from a folder into which a camera writes image files: the newest one that is complete."""

import errno
import math
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

from service.watch.frames import Frame, NoSuchFolder, SourceLost

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif")
_LOOK_SECONDS = 0.2
_SETTLE_SECONDS = 0.02
_LOOK_SHARE = 10  # looking takes at most about a tenth of the time
_QUIET_SECONDS = 2.0  # after which a file is complete, whatever its end
_MAX_FILES = 100_000
_JPEG_END = b"\xff\xd9"
_TAIL_BYTES = 64

# A file's modification time in ns, its size and its inode: one that is written anew has others.
_Version = tuple[int, int, int]


class ImageFolder:
    """The image files of a folder, without sub-folders, hidden files and links.

    Files that are there at the start are ignored. A file is read if it has not changed since the
    last look and ends as a JPEG does, or if it has not changed for two seconds.
    """

    def __init__(
        self,
        path: Path,
        limit: int,
        stop: threading.Event,
        silence: float = math.inf,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`limit`: max bytes of a file; `silence`: max seconds without a frame.

        Raises NoSuchFolder.
        """
        self.name = str(path)
        self._path = path
        self._limit = limit
        self._stop = stop
        self._silence = silence
        self._clock = clock
        self._quiet: dict[str, tuple[_Version, float]] = {}  # incomplete ones: seen since when
        self._heard = clock()
        self._is_silent = False
        try:
            self._seen = self._list()
        except OSError as fault:
            raise NoSuchFolder(
                f"{path}: expected a folder that can be read, or an http or https URL; found: "
                f"{fault.strerror or fault}. Make the folder before the camera writes into it."
            ) from fault

    def frames(self) -> Iterator[Frame]:
        """Yields frames as they are written, until it is stopped. Raises SourceLost, OSError."""
        while not self._stop.is_set():
            began = self._clock()
            frame = self.look()
            if frame is not None:
                self._heard, self._is_silent = self._clock(), False
                yield frame
            elif not self._is_silent and self._clock() - self._heard > self._silence:
                self._is_silent = True  # said once; looking goes on
                raise SourceLost(
                    f"{self._path}: expected a new image within {self._silence:g} s; found none"
                )
            now = self._clock()
            # Soon again, where a file may be whole by then: a camera may write over it often.
            is_new = any(now - since < _QUIET_SECONDS for _, since in self._quiet.values())
            pause = _SETTLE_SECONDS if is_new else _LOOK_SECONDS
            self._stop.wait(max(pause, _LOOK_SHARE * (now - began)))

    def look(self) -> Frame | None:
        """The newest file that is new and complete; older ones are skipped.

        Raises SourceLost, and OSError also for a file that may not be read.
        """
        found, now = self._list(), self._clock()
        self._seen = {name: known for name, known in self._seen.items() if name in found}
        changed = [name for name in found if self._seen.get(name) != found[name]]
        changed.sort(key=lambda name: (found[name][0], name))
        self._quiet = {name: self._follow(name, found[name], now) for name in changed}
        while changed:
            name = changed.pop()
            version, since = self._quiet[name]
            data = self._read(name, version, now - since)
            if data is not None:
                for older in (name, *changed):
                    self._seen[older] = found[older]
                    del self._quiet[older]
                return Frame(data, str(self._path / name), len(changed))
        return None

    def _follow(self, name: str, version: _Version, now: float) -> tuple[_Version, float]:
        known = self._quiet.get(name)
        return known if known is not None and known[0] == version else (version, now)

    def _read(self, name: str, version: _Version, waited: float) -> bytes | None:
        """The file's bytes; None if it is incomplete, or gone. `waited`: seconds unchanged."""
        if not version[1] or not waited:
            return None
        try:
            # Not O_NOFOLLOW alone: a FIFO that took the file's place would be waited for.
            descriptor = os.open(
                self._path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            )
        except FileNotFoundError:
            return None
        except OSError as fault:
            if fault.errno == errno.ELOOP:  # a link has taken its place
                return None
            raise
        with open(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or _describe(status) != version:
                return None
            if waited < _QUIET_SECONDS:
                stream.seek(max(0, version[1] - _TAIL_BYTES))
                if not stream.read(_TAIL_BYTES).rstrip(b"\0").endswith(_JPEG_END):
                    return None
                stream.seek(0)
            data = stream.read(self._limit + 1)
            return data if _describe(os.fstat(descriptor)) == version else None

    def _list(self) -> dict[str, _Version]:
        found: dict[str, _Version] = {}
        with os.scandir(self._path) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.name.lower().endswith(_SUFFIXES):
                    continue
                try:
                    if entry.is_file(follow_symlinks=False):
                        found[entry.name] = _describe(entry.stat(follow_symlinks=False))
                except FileNotFoundError:
                    continue  # gone since it was listed
                if len(found) > _MAX_FILES:
                    raise SourceLost(
                        f"{self._path}: expected at most {_MAX_FILES} images in the folder; found "
                        "more. Let the camera write over old ones (--wrap), or remove them."
                    )
        return found


def _describe(status: os.stat_result) -> _Version:
    return status.st_mtime_ns, status.st_size, status.st_ino
