"""A file of rows that a later run can continue: no row is lost or written twice."""

import contextlib
import errno
import fcntl
import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from service.bulk.forms import InvalidRecord, RowForm
from service.bulk.name_set import NameSet

_SYNC_SECONDS = 5.0  # after which rows are on the disk, too, where the power fails
_AGAIN = "The same command, run again, goes on where it ended."


class OutputRefused(Exception):
    """This run may not write to the file; the text says expected, found, remedy."""


class OutputBusy(OutputRefused):
    """Another run is writing to the file; later it may be free."""


class OutputFailed(Exception):
    """Rows could not be written; the text says why, and the remedy."""


class OutputFile:
    """Rows of one run or several consecutive ones; `names` are those that have a row.

    FILE.run beside FILE holds the model and the options that its rows were made with.
    """

    def __init__(
        self,
        path: Path,
        form: RowForm,
        made_with: Mapping[str, Any],
        *,
        overwrite: bool = False,
        retry_errors: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Raises OutputRefused, OutputFailed."""
        self.names = NameSet()
        self.failed = 0  # rows with an error, from earlier runs
        self._path = path
        self._beside = path.with_name(f"{path.name}.run")
        self._form = form
        self._made_with = dict(made_with)
        self._clock = clock
        try:
            self._descriptor = self._open(path)
        except OSError as fault:
            raise OutputRefused(
                f"{path}: expected a file to write rows to; found: {fault.strerror}"
            ) from fault
        try:
            self._lock(self._descriptor)
            if overwrite:
                os.ftruncate(self._descriptor, 0)
            if os.fstat(self._descriptor).st_size:
                self._check_origin()
                self._take_up(retry_errors)
            else:
                self._begin()
        except OSError as fault:
            os.close(self._descriptor)
            raise OutputFailed(f"{path}: {fault.strerror}. {_AGAIN}") from fault
        except BaseException:
            os.close(self._descriptor)
            raise
        self._synced = clock()

    def write(self, data: bytes) -> None:
        """Writes whole rows to the file at once, and syncs to the disk every few seconds.

        Raises OutputFailed; then the rows are not in the file.
        """
        try:
            _write(self._descriptor, data)
            self._end += len(data)
            if self._clock() - self._synced > _SYNC_SECONDS:
                self._sync()
        except OSError as fault:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise OutputFailed(
                f"{self._path}: expected to write all rows; found: {fault.strerror}. Make room, or "
                f"see what is wrong with the disk. {_AGAIN}"
            ) from fault

    def close(self) -> None:
        """Syncs the file to the disk. Raises OutputFailed."""
        try:
            self._sync()
        except OSError as fault:
            raise OutputFailed(f"{self._path}: {fault.strerror}. {_AGAIN}") from fault
        finally:
            os.close(self._descriptor)

    def _open(self, path: Path) -> int:
        # Not to wait for the other end of a pipe.
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)

    def _create_beside(self, path: Path) -> tuple[Path, int]:
        """Creates FILE.run.new; one that an earlier run left is removed."""
        new = path.with_name(f"{path.name}.run.new")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC  # follows no link
        try:
            return new, os.open(new, flags, 0o666)
        except FileExistsError:
            if not stat.S_ISREG(os.lstat(new).st_mode):
                raise OutputRefused(
                    f"{new}: expected no such file, or a regular one that an earlier run left; "
                    "found something else. Remove it."
                ) from None
            os.unlink(new)
            return new, os.open(new, flags, 0o666)

    def _lock(self, descriptor: int) -> None:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OutputRefused(
                f"{self._path}: expected a regular file, in which a later run finds the rows; "
                "found something else. Leave --output out and use > there."
            )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_ours = False
        else:  # a run that retries errors has put another file in its place
            is_ours = os.path.samestat(os.fstat(descriptor), os.stat(self._path))
        if not is_ours:
            raise OutputBusy(
                f"{self._path}: expected no other run that writes to it; found one. Wait for its "
                "end, or name another file."
            )

    def _begin(self) -> None:
        """Begins an empty file: FILE.run is written before the first row."""
        new, descriptor = self._create_beside(self._path)
        try:
            _write(descriptor, json.dumps(self._made_with, ensure_ascii=True).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _replace(new, self._beside)
        header = self._form.encode_header()
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        _write(self._descriptor, header)
        self._end = len(header)
        self._sync()

    def _check_origin(self) -> None:
        remedy = "Name another file, or let --overwrite begin it anew."
        try:
            found = json.loads(self._beside.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise OutputRefused(
                f"{self._path}: expected an empty file, or {self._beside} beside it, which says "
                f"how its rows were made; found neither. {remedy}"
            ) from None
        except ValueError as fault:
            raise OutputRefused(
                f"{self._beside}: expected JSON that says how the rows of {self._path} were made; "
                f"found something else. {remedy}"
            ) from fault
        fields = {*self._made_with, *found} if isinstance(found, dict) else set()
        others = [
            f"{field} {self._made_with.get(field)!r}, found {found.get(field)!r}"
            for field in sorted(fields)
            if self._made_with.get(field) != found.get(field)
        ]
        if others or not fields:
            raise OutputRefused(
                f"{self._path}: expected rows that were made as this run makes them: "
                f"{'; '.join(others) or 'found none'}. {remedy}"
            )

    def _take_up(self, retry_errors: bool) -> None:
        """Reads the names of the file's rows and cuts off a half-written last row."""
        self._end = 0
        with open(self._descriptor, "rb", closefd=False) as file:
            header = self._form.encode_header()
            if header.startswith(file.read(len(header) + 1)):  # ended before its first row
                os.ftruncate(self._descriptor, 0)
                self._begin()
                return
            file.seek(0)
            try:
                self._end = len(header)
                for record in self._form.read_records(file):
                    self._end = record.end
                    self.failed += record.is_error
                    if not (record.is_error and retry_errors):
                        self.names.add(record.name)
            except InvalidRecord as fault:
                cut = f", let truncate -s {self._end} cut it there" if self.names else ""
                raise OutputRefused(
                    f"{self._path}: {fault}; found something else. Name another file{cut}, or let "
                    "--overwrite begin it anew."
                ) from fault
            os.ftruncate(self._descriptor, self._end)
            if retry_errors and self.failed:
                file.seek(0)
                self._leave_out_errors(file)
        os.lseek(self._descriptor, self._end, os.SEEK_SET)

    def _leave_out_errors(self, file: Any) -> None:
        """Replaces the file by one without rows of errors, atomically."""
        path = Path(os.path.realpath(self._path))  # a link to it stays one
        new, descriptor = self._create_beside(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.fchmod(descriptor, stat.S_IMODE(os.fstat(self._descriptor).st_mode))
            kept, size = [self._form.encode_header()], 0
            self._end = len(kept[0])
            for record in self._form.read_records(file):
                if record.is_error:
                    continue
                kept.append(record.data)
                size += len(record.data)
                self._end += len(record.data)
                if size > 2**20:
                    _write(descriptor, b"".join(kept))
                    kept, size = [], 0
            _write(descriptor, b"".join(kept))
            os.fsync(descriptor)
            _replace(new, path)
        except BaseException:
            os.close(descriptor)
            raise
        os.dup2(descriptor, self._descriptor, inheritable=False)
        os.close(descriptor)
        self.failed = 0

    def _sync(self) -> None:
        try:
            getattr(os, "fdatasync", os.fsync)(self._descriptor)
        except OSError as fault:
            if fault.errno != errno.EINVAL:  # a file system without it
                raise
        self._synced = self._clock()


def _replace(new: Path, path: Path) -> None:
    """Replaces a file by another atomically, and durably if the power fails."""
    os.replace(new, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    except OSError as fault:
        if fault.errno != errno.EINVAL:  # a file system without it
            raise
    finally:
        os.close(folder)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
