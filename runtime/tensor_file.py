"""Reads a safetensors file: its header is checked, its tensors are views of one mapped file."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import (
    REEXPORT,
    InvalidRecord,
    MissingFile,
    OversizedHeader,
    TruncatedFile,
)

MAX_HEADER_BYTES = 2**20  # a 59's header has about 60 KB
MAX_FILE_BYTES = 2**30
MAX_DIMENSIONS = 8
DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(code)
    for name, code in (("F32", "<f4"), ("U32", "<u4"), ("I8", "i1"), ("U8", "u1"))
}


def read_header(file: Path) -> tuple[dict[str, Any], int]:
    """(header, start of the data) of a safetensors file.

    Raises MissingFile, TruncatedFile, OversizedHeader, InvalidRecord.
    """
    if not file.is_file():
        raise MissingFile(f"{file}: not there. {REEXPORT}")
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(prefix, "little") if len(prefix := stream.read(8)) == 8 else None
        if length is None:
            raise TruncatedFile(f"{file}: expected at least 8 bytes, found {size}. {REEXPORT}")
        if length > MAX_HEADER_BYTES:
            raise OversizedHeader(
                f"{file}: its header claims {length} bytes; expected at most {MAX_HEADER_BYTES}. "
                f"{REEXPORT}"
            )
        if 8 + length > size:
            raise TruncatedFile(
                f"{file}: expected {8 + length} bytes for the header, found {size}. {REEXPORT}"
            )
        try:
            header = json.loads(stream.read(length))
        except (ValueError, RecursionError) as error:
            raise InvalidRecord(
                f"{file}: expected a JSON header, found {error}. {REEXPORT}"
            ) from error
    if not isinstance(header, dict):
        raise InvalidRecord(f"{file}: expected a JSON object as header. {REEXPORT}")
    header.pop("__metadata__", None)
    return header, 8 + length


def read_tensors(file: Path) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file as read-only views of one memory map, so that pages stay
    shared and reclaimable.

    float32, uint32, int8 and uint8 only. Raises MissingFile, TruncatedFile, OversizedHeader,
    InvalidRecord.
    """
    header, start = read_header(file)
    data = np.memmap(file, np.uint8, "r")[start:]
    tensors: dict[str, np.ndarray] = {}
    for name, entry in header.items():
        try:
            dtype = DTYPES[entry["dtype"]]
            shape = tuple(_whole(n) for n in entry["shape"])
            begin, end = (_whole(n) for n in entry["data_offsets"])
            if len(shape) > MAX_DIMENSIONS:
                raise ValueError("too many dimensions")
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidRecord(
                f"{file}: tensor {name!r}: expected dtype ({', '.join(DTYPES)}), shape and "
                f"data_offsets, found {entry!r:.200}. {REEXPORT}"
            ) from error
        needed = dtype.itemsize * math.prod(shape)
        if (
            end - begin != needed
            or begin % dtype.itemsize
            or max(shape, default=0) > MAX_FILE_BYTES
        ):
            raise InvalidRecord(
                f"{file}: tensor {name!r} of {entry['dtype']} {list(shape)} needs {needed} "
                "aligned bytes, found "
                f"{begin}..{end}. {REEXPORT}"
            )
        if end > len(data):
            raise TruncatedFile(
                f"{file}: tensor {name!r} ends at byte {start + end}, the file at "
                f"{start + len(data)}. {REEXPORT}"
            )
        tensors[name] = data[begin:end].view(dtype).reshape(shape)
    return tensors


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError(f"{repr(value)[:80]} where a whole number is expected")
    return value
