"""Reads when, with which camera and where a photo was taken from its EXIF metadata."""

from __future__ import annotations

import io
import math
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from PIL import Image

_MAKE, _MODEL, _EXIF, _GPS = 0x010F, 0x0110, 0x8769, 0x8825
_TIME, _OFFSET, _FRACTION, _SERIAL = 0x9003, 0x9011, 0x9291, 0xA431
_PLAIN_TIME = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_ZONE = re.compile(r"([+-])(\d\d):(\d\d)")
_LONGEST = 80  # characters of a camera's name that are kept
#: what Pillow raises for damaged metadata
_DAMAGE = (ValueError, TypeError, KeyError, OSError, SyntaxError, struct.error, EOFError)


@dataclass(frozen=True)
class Taken:
    """seconds: since 1970 by the camera's clock, which shows the time of its zone; zone: seconds
    that this zone is east of UTC; latitude and longitude in degrees. None: the file does not say.
    """

    seconds: float | None = None
    zone: float | None = None
    camera: str | None = None
    serial: str | None = None
    place: tuple[float, float] | None = None


def read_taken(data: bytes) -> Taken:
    """What the file of an image says; nothing of damaged metadata, never an error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of damaged metadata
            with Image.open(io.BytesIO(data)) as image:
                exif = image.getexif()
            inner, gps = dict(exif.get_ifd(_EXIF)), dict(exif.get_ifd(_GPS))
            names = [_text(exif.get(tag)) for tag in (_MAKE, _MODEL)]
    except _DAMAGE:
        return Taken()
    make, model = names
    if make and model and not model.casefold().startswith(make.casefold()):
        model = f"{make} {model}"
    return Taken(
        _read_seconds(inner),
        _read_zone(inner),
        model or make,
        _text(inner.get(_SERIAL)),
        _read_place(gps),
    )


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    text = "".join(c for c in value.split("\0")[0] if c.isprintable()).strip()
    return text[:_LONGEST] or None


def _read_seconds(inner: Mapping[int, Any]) -> float | None:
    found = _PLAIN_TIME.match(_text(inner.get(_TIME)) or "")
    if not found:
        return None
    try:
        whole = datetime(*map(int, found.groups()), tzinfo=UTC).timestamp()  # type: ignore[misc, arg-type]
    except ValueError:  # month 0, second 60
        return None
    fraction = _text(inner.get(_FRACTION)) or ""
    return whole + (float(f"0.{fraction}") if re.fullmatch(r"[0-9]{1,9}", fraction) else 0.0)


def _read_zone(inner: Mapping[int, Any]) -> float | None:
    found = _ZONE.fullmatch(_text(inner.get(_OFFSET)) or "")
    if not found:
        return None
    sign, hours, minutes = found.groups()
    seconds = 3600 * int(hours) + 60 * int(minutes)
    return math.copysign(seconds, -1 if sign == "-" else 1) if seconds <= 15 * 3600 else None


def _read_place(gps: Mapping[int, Any]) -> tuple[float, float] | None:
    latitude, longitude = (
        _read_degrees(gps.get(value), _text(gps.get(side)), negative)
        for side, value, negative in ((1, 2, "S"), (3, 4, "W"))
    )
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return None
    return None if latitude == longitude == 0 else (latitude, longitude)  # (0, 0): no reception


def _read_degrees(value: object, side: str | None, negative: str) -> float | None:
    try:
        degrees, minutes, seconds = map(float, value)  # type: ignore[call-overload]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    total = float(degrees + minutes / 60 + seconds / 3600)
    if not math.isfinite(total) or not side:
        return None
    return -total if side.upper().startswith(negative) else total
