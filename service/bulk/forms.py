"""The forms of a row: a line for people, a line of JSON, a CSV record; written and read."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal, NamedTuple

from service.bulk.rows import Row
from service.messages.logs import escape_controls

Kind = Literal["text", "jsonl", "csv"]
_MAX_RECORD_BYTES = 2**24
_HEDGED = ("label", "score", "covers")


class InvalidRecord(ValueError):
    """A file has something else than rows of this form; the text says where."""


class Record(NamedTuple):
    """The facts about a row that its bytes tell; `end` is the place behind it in the file."""

    name: str
    is_error: bool
    end: int
    data: bytes


@dataclass(frozen=True)
class RowForm:
    """Writes rows. A form with `tells_errors` has no place for an error, or not enough."""

    kind: Kind
    top_k: int
    encoding: str = "utf-8"
    timed: bool = False  # with the milliseconds of the inference, which differ from run to run
    has_known: bool = False  # CSV has a column for it: the model knows "none of these"
    has_hedged: bool = False  # CSV has columns for it: a certainty is asked for

    @property
    def tells_errors(self) -> bool:
        """Whether each error also goes to standard error."""
        return self.kind == "text" or self.timed

    def encode_header(self) -> bytes:
        """The first line of a file; b"" if the form has none."""
        if self.kind != "csv":
            return b""
        best = [
            f"{word}_{i + 1}" for i in range(self.top_k) for word in ("label", "index", "score")
        ]
        known = ["known"] if self.has_known else []
        hedged = [f"hedged_{word}" for word in _HEDGED] if self.has_hedged else []
        return self._to_bytes(_join(["file", *best, *known, *hedged, "error", "detail"]))

    def encode(self, row: Row) -> bytes:
        """The line of a row; b"" if the form has none for it."""
        if self.kind == "jsonl":
            content = row.as_json(self.timed)
            try:
                return f"{json.dumps(content, ensure_ascii=False)}\n".encode(self.encoding)
            except UnicodeEncodeError:  # of another encoding, or bytes of a name that are no UTF-8
                return f"{json.dumps(content)}\n".encode("ascii")
        if self.kind == "csv":
            fields = [row.name]
            for item in row.predictions:
                fields += [item.label, str(item.index), repr(item.score)]
            fields += [""] * (1 + 3 * self.top_k - len(fields))
            if self.has_known:
                fields.append("" if row.known is None else repr(row.known))
            if self.has_hedged:
                values = [getattr(row.hedged, word, "") for word in _HEDGED]
                fields += [value if isinstance(value, str) else repr(value) for value in values]
            error = ("", "") if row.error is None else (row.error.code, row.error.detail)
            return self._to_bytes(_join([*fields, *error]))
        if row.error is not None:
            return b""
        best = ", ".join(f"{item.label} {item.score:.3f}" for item in row.predictions)
        none = "" if row.notice is None else f" (probably none of the labels, {row.known:.3f})"
        hedged = "" if row.hedged is None else f"; at {row.hedged.certainty:g}: {row.hedged_text}"
        line = escape_controls(f"{row.name}: {best}{none}{hedged}")
        return f"{line}\n".encode(self.encoding, "backslashreplace")

    def read_records(self, file: BinaryIO) -> Iterator[Record]:
        """The complete rows of a file from its beginning, without a half-written last one.

        Raises InvalidRecord, OSError.
        """
        end = len(self.encode_header())
        if file.read(end) != self.encode_header():
            raise InvalidRecord(f"expected {self.encode_header().decode().rstrip()} as first line")
        for data in _split(file, self.kind == "csv"):
            end += len(data)
            try:
                name, is_error = self._parse(data)
            except (ValueError, KeyError, TypeError, csv.Error) as fault:
                raise InvalidRecord(
                    f"expected a row of {self.kind} at byte {end - len(data)}"
                ) from fault
            yield Record(name, is_error, end, data)

    def _parse(self, data: bytes) -> tuple[str, bool]:
        if self.kind == "jsonl":
            content = json.loads(data)
            name, is_error = content["file"], "error" in content
            if not isinstance(name, str) or is_error == ("predictions" in content):
                raise ValueError("no row")
            return name, is_error
        (fields,) = csv.reader([data.decode("utf-8", "surrogateescape")], strict=True)
        more = self.has_known + (len(_HEDGED) if self.has_hedged else 0)
        if len(fields) != 3 + 3 * self.top_k + more:
            raise ValueError("no row")
        return fields[0], bool(fields[-2])

    def _to_bytes(self, text: str) -> bytes:
        try:
            # Bytes of a name that are no UTF-8 are written as they are: the name stays exact.
            return text.encode(self.encoding, "surrogateescape")
        except UnicodeEncodeError:
            return text.encode(self.encoding, "backslashreplace")


def _join(fields: list[str]) -> str:
    """A record of RFC 4180, except that it ends with a line feed alone, as Unix tools expect."""
    return ",".join(map(_quote, fields)) + "\n"


def _quote(text: str) -> str:
    if not any(char in text for char in '",\r\n'):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _split(file: BinaryIO, quoted: bool) -> Iterator[bytes]:
    """Complete lines; `quoted`: line ends inside of quotation marks belong to a line."""
    record = b""
    quotes = 0
    while line := file.readline(_MAX_RECORD_BYTES):
        record += line
        if len(record) >= _MAX_RECORD_BYTES:
            raise InvalidRecord(f"expected rows of less than {_MAX_RECORD_BYTES} bytes")
        quotes += line.count(b'"') if quoted else 0
        if line.endswith(b"\n") and quotes % 2 == 0:
            yield record
            record = b""
            quotes = 0
