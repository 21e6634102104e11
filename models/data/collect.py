"""Collects images from local clones of public repositories, and counts why others are left out."""

from __future__ import annotations

import csv
import hashlib
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from models.data.git_files import Blobs, Reader, list_files, open_reader
from models.data.image_files import SUFFIXES, ImageFiles, is_test_file, join_files
from models.data.packs import (
    LIMITS,
    encode_square,
)
from models.data.sources import Repository, Sources
from models.errors import DataError, IncompleteData, NoClone
from runtime import InvalidImage, decode_image

QUALITY = 90  # of JPEG, where an image is reduced


@dataclass(frozen=True)
class Taken:
    """An image of a set: where it came from, sha256 of the file there, and the bytes kept of it."""

    class_name: str
    repository: str
    path: str
    sha256: bytes
    data: bytes

    @property
    def name(self) -> str:
        """Its path in the set."""
        return f"{self.class_name}/{name_file(self.repository, self.path)}"


def name_file(repository: str, path: str) -> str:
    """The name in a set of a file of a repository."""
    return "_".join((*repository.split("/"), *path.split("/")))


class Gathered:
    """Images found so far, and how many files were left out for which reason."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.left_out: Counter[tuple[str, str]] = Counter()  # class, reason
        self._images: dict[bytes, tuple[str, str, bytes]] = {}  # digest -> class, name, bytes
        self.places: dict[str, tuple[str, str]] = {}  # name -> repository, path

    def take(self, class_name: str, path: str, name: str, data: bytes | None) -> bool:
        """Adds a file of a class if it is a usable image, and says whether it was; data is None if
        the clone lacks it.
        """
        if data is None:
            self.left_out[class_name, "not in the clone"] += 1
            return False
        digest = hashlib.sha256(data).digest()
        reason = self._find_fault(class_name, path, data, digest)
        if reason is None:
            try:
                image = decode_image(data, LIMITS)
            except InvalidImage:
                reason = "no image"
            else:
                if min(image.size) >= self.sources.min_side:
                    kept = encode_square(image, data, self.sources.side, QUALITY)
                    self._images[digest] = (class_name, name, kept)
                    return True
                reason = "too small"
        self.left_out[class_name, reason] += 1
        return False

    def _find_fault(self, class_name: str, path: str, data: bytes, digest: bytes) -> str | None:
        """What is known without decoding."""
        if is_test_file(path):
            return "ImageNet's validation images"
        if len(data) > self.sources.max_bytes:
            return "too large"
        if digest not in self._images:
            return None
        return "copy" if self._images[digest][0] == class_name else "copy in another class"

    def classes(self) -> set[str]:
        """The classes that have an image so far."""
        return {class_name for class_name, _, _ in self._images.values()}

    def list_reasons(self, class_name: str | None = None) -> str:
        """How many files were left out for which reason, of one class or of all."""
        counts: Counter[str] = Counter()
        for (name, reason), count in self.left_out.items():
            counts[reason] += count if class_name in (None, name) else 0
        return ", ".join(f"{count} {reason}" for reason, count in counts.items() if count) or "none"

    def images(self) -> list[Taken]:
        """All, in the order they were found by `gather`."""
        return [
            Taken(class_name, *self.places[name], digest, data)
            for digest, (class_name, name, data) in self._images.items()
        ]

    def files(self) -> ImageFiles:
        """All images, by class and name."""
        rows = list(self._images.values())
        classes = tuple(sorted({class_name for class_name, _, _ in rows}))
        files = ImageFiles(
            tuple(f"{class_name}/{name}" for class_name, name, _ in rows),
            tuple(classes.index(class_name) for class_name, _, _ in rows),
            classes,
            lambda i: rows[i][2],
        )
        return join_files([files])


def make_files(images: Sequence[Taken]) -> ImageFiles:
    """By class and name."""
    classes = tuple(sorted({image.class_name for image in images}))
    files = ImageFiles(
        tuple(image.name for image in images),
        tuple(classes.index(image.class_name) for image in images),
        classes,
        lambda i: images[i].data,
    )
    return join_files([files])


def list_clones(sources: Sources, clones: Path) -> list[Blobs]:
    """The files of each repository's commit. Raises IncompleteData naming all that are missing."""
    listed: list[Blobs] = []
    missing: dict[str, None] = {}  # commands; a repository may be listed twice
    for repository in sources.repositories:
        clone = repository.clone_in(clones)
        try:
            listed.append(list_files(clone, repository.commit))
        except NoClone:
            address = f"https://github.com/{repository.name}"
            missing[f"git clone --bare {address} {shlex.quote(str(clone))}"] = None
        except IncompleteData as error:
            missing[str(error)] = None
    if missing:
        raise IncompleteData(
            f"expected a clone of each repository, with its commit; {len(missing)} are missing. "
            "Make them, or leave these repositories out:\n  " + "\n  ".join(missing)
        )
    return listed


def gather(sources: Sources, clones: Path, progress: bool = False) -> Gathered:
    """Reads all clones. Raises IncompleteData naming all that are missing; DataError."""
    listed = list_clones(sources, clones)
    gathered = Gathered(sources)
    for repository, blobs in zip(sources.repositories, listed, strict=True):
        with open_reader(repository.clone_in(clones)) as reader:
            found = find_images(repository, blobs, reader)
            bar = tqdm(
                _in_order(found, blobs, repository.max_images),
                repository.name,
                disable=None if progress else True,
                unit="img",
            )
            taken: Counter[str] = Counter()
            for path in bar:
                class_name = found[path]
                if taken[class_name] == repository.max_images:
                    gathered.left_out[class_name, "more than max_images"] += 1
                    continue
                name = name_file(repository.name, path)
                gathered.places[name] = (repository.name, path)
                taken[class_name] += gathered.take(class_name, path, name, reader.read(blobs[path]))
    wanted = {name for repository in sources.repositories for name in repository.classes}
    if empty := sorted(wanted - gathered.classes()):
        rows = "; ".join(f"{name} ({gathered.list_reasons(name)})" for name in empty[:5])
        raise DataError(
            f"expected images of every class; all were left out of {rows}. Give it others, or "
            "leave the class out."
        )
    return gathered


def _in_order(found: Mapping[str, str], blobs: Blobs, most: int | None) -> list[str]:
    """The paths; with a limit by content, so that those of a class are a choice without pattern.

    The name of an object is a hash of the file's bytes: the same files are chosen every time, and
    nearly the same after some have come or gone.
    """
    return list(found) if most is None else sorted(found, key=lambda path: (blobs[path], path))


def find_images(repository: Repository, blobs: Blobs, reader: Reader) -> dict[str, str]:
    """Path -> class of all files that are images by their names, but those of `without`.

    Raises DataError if an entry finds none, also one of `without`, or a file is in two classes.
    """
    labels = None if repository.table is None else _read_table(repository, blobs, reader)
    images = [path for path in blobs if PurePosixPath(path).suffix.lower() in SUFFIXES]
    for entry in repository.without:
        unwanted = {path for path in images if _is_in(path, entry)}
        if not unwanted:
            raise DataError(f"{repository.name}, without: expected images in {entry}; found none")
        images = [path for path in images if path not in unwanted]
    found: dict[str, str] = {}
    for class_name, entries in repository.classes.items():
        for entry in entries:
            if labels is None:
                members = [path for path in images if _is_in(path, entry)]
            else:
                members = [path for path in images if labels.get(path) == entry]
            if not members:
                where = "in" if labels is None else f"of {repository.folder} with the label"
                raise DataError(
                    f"{repository.name}, {class_name}: expected images {where} {entry}; found none"
                )
            for path in members:
                if found.setdefault(path, class_name) != class_name:
                    raise DataError(
                        f"{repository.name}: expected each image in one class; found {path} in "
                        f"{found[path]} and {class_name}"
                    )
    return found


def _is_in(path: str, entry: str) -> bool:
    return fnmatchcase(path, entry) or fnmatchcase(path, f"{entry.rstrip('/')}/*")


def _read_table(repository: Repository, blobs: Blobs, reader: Reader) -> dict[str, str]:
    """Path of an image -> its label."""
    data = reader.read(blobs.get(repository.table or "", "0" * 40))
    if data is None:
        raise DataError(f"{repository.name}: expected a file {repository.table}; found none")
    try:
        rows = list(csv.reader(data.decode("utf-8", "replace").splitlines()))
    except csv.Error as error:
        raise DataError(
            f"{repository.name}: expected a CSV file {repository.table}; found {error}"
        ) from error
    folder = (repository.folder or "").rstrip("/")
    return {f"{folder}/{row[0]}": row[1].strip() for row in rows if len(row) >= 2}
