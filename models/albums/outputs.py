"""Tells what was found of an album in files and lines, and copies photos into folders by kind."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from models.albums.photos import read_file
from models.errors import DataError
from runtime.whole_file import write_whole

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # by which spreadsheets know a formula


@dataclass(frozen=True)
class Row:
    """One photo: its kind by the bundle alone and by reasoning, with probabilities; and why.

    time: seconds of UTC since 1970, or None; session: a number.
    """

    photo: str
    sha256: str
    time: float | None
    camera: str
    session: int
    before: str
    before_score: float
    after: str
    after_score: float
    why: str

    @property
    def changed(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True)
class Result:
    """All that is told of an album. unreadable: names and why; notes: for people."""

    bundle: str
    rules: str
    rows: tuple[Row, ...]
    unreadable: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def show(name: str) -> str:
    """A file name as text: bytes that are not UTF-8 as \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def count(number: int, thing: str) -> str:
    """As people write it: "1 photo", "1,000 photos"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def tell(text: str) -> None:
    """One line on standard error; names of files may have characters that a terminal would obey."""
    print("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text), file=sys.stderr)


def summarize(result: Result, scored: int, not_copied: int) -> str:
    """What was done, in one line. scored: how many photos anew."""
    rows = result.rows
    text = (
        f"{count(len(rows), 'photo')} in {count(len({row.session for row in rows}), 'session')}, "
        f"{scored:,} scored anew; {sum(row.changed for row in rows):,} got another kind by "
        f"reasoning, {len(result.unreadable):,} unreadable"
    )
    return f"{text}, {not_copied:,} not copied" if not_copied else text


def format_time(seconds: float | None) -> str:
    """ISO 8601 in UTC, with milliseconds where there are any."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    precision = "milliseconds" if seconds % 1 else "seconds"
    text = datetime.fromtimestamp(round(seconds, 3), UTC).isoformat(timespec=precision)
    return text.replace("+00:00", "Z")


def write_csv(path: Path, result: Result) -> None:
    """A row for each photo; cells that a spreadsheet would take for a formula begin with '."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    head = ("photo", "taken", "camera", "session", "before", "before_score", "after", "after_score")
    writer.writerow([*head, "changed", "why"])
    for row in result.rows:
        cells = [show(row.photo), format_time(row.time), row.camera, str(row.session), row.before]
        cells += [f"{row.before_score:.4f}", row.after, f"{row.after_score:.4f}"]
        writer.writerow(map(_defuse, [*cells, "yes" if row.changed else "no", row.why]))
    for name, fault in result.unreadable:
        writer.writerow(map(_defuse, [show(name), *[""] * 8, f"unreadable: {fault}"]))
    _write(path, stream.getvalue())


def _defuse(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def write_json(path: Path, result: Result) -> None:
    """All of it; scores are probabilities."""
    photos = []
    for row in result.rows:
        fields = asdict(row) | {"photo": show(row.photo), "taken": format_time(row.time) or None}
        photos.append({**fields, "changed": row.changed})
    content = {
        "format": 1,
        "bundle": result.bundle,
        "rules": result.rules,
        "notes": list(result.notes),
        "photos": photos,
        "unreadable": [{"photo": show(name), "why": why} for name, why in result.unreadable],
    }
    _write(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def _write(path: Path, text: str) -> None:
    with write_whole(path) as stream:
        stream.write(text.encode("utf-8", "backslashreplace"))


def check_apart(folder: Path, copies: Path) -> None:
    """Raises DataError if one folder is inside of the other: copies would become photos."""
    one, other = folder.resolve(), copies.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise DataError(
            f"{copies}: expected a folder outside of {folder} for the copies; found one inside, or "
            "around it. Name another with --sort-into."
        )


def check_usable(folder: Path) -> None:
    """Raises DataError if files could not be written into this folder, which may yet be made."""
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        found = f"that {there} does not permit it" if there.is_dir() else f"{there}, no folder"
        raise DataError(
            f"{folder}: expected a folder to write into; found {found}. Name another folder."
        )


def copy_sorted(folder: Path, rows: Sequence[Row], copies: Path) -> list[tuple[str, str]]:
    """Copies each photo to copies/KIND/NAME, and leaves the album's folder as it is.

    A file that is there already is never replaced. Returns what was not copied, and why. Raises
    OSError if there can be no such folder.
    """
    faults = []
    copies.mkdir(parents=True, exist_ok=True)
    for row in rows:
        target = copies / _name_folder(row.after) / row.photo
        try:
            data = read_file(folder / row.photo)
            if hashlib.sha256(data).hexdigest() != row.sha256:
                faults.append((row.photo, "it has changed since it was scored; run again"))
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                _write_new(target, data)
                shutil.copystat(folder / row.photo, target)
            except FileExistsError:
                if read_file(target) != data:
                    faults.append((row.photo, f"another file is at {show(str(target))}"))
        except OSError as fault:
            faults.append((row.photo, fault.strerror or str(fault)))
    return faults


def _write_new(path: Path, data: bytes) -> None:
    """All of a new file or none of it. Raises FileExistsError, OSError."""
    with path.open("xb") as stream:
        try:
            stream.write(data)
            stream.flush()
        except BaseException:
            path.unlink()
            raise


def _name_folder(kind: str) -> str:
    """A kind as the name of one folder."""
    name = "".join("_" if c in '/\\:*?"<>|' or not c.isprintable() else c for c in kind).strip()
    return f"_{name}" if name.startswith(".") or not name else name
