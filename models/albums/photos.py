"""Reads the photos below a folder: metadata, and a bundle's logits, each file read once."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray
from tqdm import tqdm

from models.albums.cache import Cache, Kept
from models.albums.exif import Taken, read_taken
from models.data.image_files import SUFFIXES
from models.data.packs import LIMITS
from models.errors import DataError
from runtime import Engine, ImageReader, InvalidImage, stamp_bundle

BATCH = 16
READ = frozenset([*SUFFIXES, ".jpe", ".jfif"])  # JPEG files have these suffixes, too
#: of images in formats that are not read
OTHERS = frozenset(
    [
        ".arw",
        ".bmp",
        ".cr2",
        ".cr3",
        ".dng",
        ".gif",
        ".heic",
        ".heif",
        ".jp2",
        ".jxl",
        ".nef",
        ".orf",
        ".raf",
        ".rw2",
        ".tif",
        ".tiff",
    ]
)
THUMBNAIL = 112  # pixels of a side


@dataclass(frozen=True)
class Photo:
    """name: the path relative to the album's folder, with slashes; sha256: of the file as it was
    when it was read.
    """

    name: str
    sha256: str
    kept: Kept

    @property
    def taken(self) -> Taken:
        return self.kept.taken


@dataclass(frozen=True)
class Album:
    """Photos by name, in order, and why others could not be read; scored: how many anew; notes:
    what was passed over, for people.
    """

    photos: tuple[Photo, ...]
    unreadable: tuple[tuple[str, str], ...]
    scored: int
    notes: tuple[str, ...] = ()


def identify_model(engine: Engine) -> str:
    """All that logits and thumbnails depend on."""
    stamp = stamp_bundle(engine.bundle.path)
    assert stamp is not None  # the engine has loaded it
    return f"{stamp.hex()} {engine.name} Pillow {PIL.__version__}"


def read_album(folder: Path, engine: Engine, cache: Cache, progress: bool = False) -> Album:
    """All images below a folder; links to folders are not followed, hidden files passed over.

    A file that cannot be read is listed, and the rest goes on. Raises DataError for no folder.
    """
    if not folder.is_dir():
        there = "a file" if folder.exists() else "nothing there"
        raise DataError(f"{folder}: expected a folder of photos; found {there}. Correct the path.")
    reader = ImageReader(engine.bundle.manifest.preprocessing, LIMITS)
    found: dict[str, tuple[str, Kept | None]] = {}
    unreadable: list[tuple[str, str]] = []

    def note(fault: OSError) -> None:
        name = Path(os.fsdecode(fault.filename)).relative_to(folder).as_posix()
        unreadable.append((name, _describe(fault)))

    paths, notes = _find_images(folder, note)
    waiting: dict[str, tuple[NDArray[np.float32], Taken, bytes]] = {}
    fresh: dict[str, Kept] = {}

    def flush() -> None:
        if not waiting:
            return
        logits = engine.predict(np.stack([tensor for tensor, _, _ in waiting.values()]))
        for row, (sha256, (_, taken, thumbnail)) in zip(logits, waiting.items(), strict=True):
            fresh[sha256] = Kept(np.asarray(row, np.float32), taken, thumbnail)
            cache.add(sha256, fresh[sha256])
        cache.commit()
        waiting.clear()

    for path in tqdm(
        paths, "photos", disable=None if progress else True, unit="photo", leave=False
    ):
        name = path.relative_to(folder).as_posix()
        try:
            data = read_file(path)
            sha256 = hashlib.sha256(data).hexdigest()
            kept = cache.find(sha256)
            if kept is None and sha256 not in fresh and sha256 not in waiting:
                waiting[sha256] = _read(reader, data)
        except (InvalidImage, OSError, MemoryError) as fault:
            unreadable.append((name, _describe(fault)))
            continue
        found[name] = sha256, kept
        if len(waiting) == BATCH:
            flush()
    flush()
    photos = [Photo(name, sha256, kept or fresh[sha256]) for name, (sha256, kept) in found.items()]
    photos.sort(key=lambda photo: photo.name)
    return Album(tuple(photos), tuple(sorted(unreadable)), len(fresh), notes)


def _find_images(
    folder: Path, note: Callable[[OSError], None]
) -> tuple[list[Path], tuple[str, ...]]:
    """Files with an image's suffix; folders that cannot be listed are noted. And, for people, how
    many images of other formats there are.
    """
    paths = []
    for root, folders, files in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [Path(root, name) for name in files if not name.startswith(".")]
    others = Counter(path.suffix.lower() for path in paths)
    passed = [f"{others[suffix]:,} {suffix}" for suffix in sorted(OTHERS & others.keys())]
    notes = [f"passed over: {', '.join(passed)}. Convert them to JPEG, PNG, WebP or AVIF."]
    images = sorted(path for path in paths if path.suffix.lower() in READ)
    return images, tuple(notes if passed else ())


def read_file(path: Path) -> bytes:
    """The bytes of a regular file. Raises OSError for others, which might never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("no regular file")
    return path.read_bytes()


def _read(reader: ImageReader, data: bytes) -> tuple[NDArray[np.float32], Taken, bytes]:
    plan = reader.plan(data)
    image = reader.decode(data, plan)
    seen = reader.crop(image, plan)
    seen.thumbnail((THUMBNAIL, THUMBNAIL))
    small = io.BytesIO()
    seen.save(small, "JPEG", quality=70)
    return reader.prepare(image, plan), read_taken(data), small.getvalue()


def _describe(fault: Exception) -> str:
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror
    return str(fault) or type(fault).__name__
