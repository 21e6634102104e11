"""Encoded images with labels, which are read one at a time from folders, joined and selected.

The name of a file says where an image comes from: ImageNet's own validation images keep their names
in Imagenette and Imagewoof, and those are the test set, never trained on.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from models.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif")
# Files that Windows keeps beside images, in small letters. Others, such as .DS_Store, have a dot.
_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})
TEST_FILE_PREFIX = "ILSVRC2012_val_"  # of ImageNet's own validation images


@dataclass(frozen=True)
class ImageFiles:
    """names[i] is a relative path, labels[i] an index into classes (sorted), read(i) the file."""

    names: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    read: Callable[[int], bytes]

    def __len__(self) -> int:
        return len(self.names)

    def select(self, indices: Sequence[int]) -> ImageFiles:
        """The images of these indices, in this order, with the same classes."""
        chosen = tuple(indices)
        return ImageFiles(
            tuple(self.names[i] for i in chosen),
            tuple(self.labels[i] for i in chosen),
            self.classes,
            lambda i: self.read(chosen[i]),
        )

    def without(self, *others: ImageFiles) -> ImageFiles:
        """The images that are not copies of an image of the others, byte for byte."""
        if not others:
            return self
        known = {part.digest(i) for part in others for i in range(len(part))}
        return self.select([i for i in range(len(self)) if self.digest(i) not in known])

    def counts(self) -> dict[str, int]:
        """Images of each class, 0 where there is none."""
        found = Counter(self.labels)
        return {name: found[label] for label, name in enumerate(self.classes)}

    def digest(self, i: int) -> bytes:
        """Of the file's bytes: images of one digest are the same."""
        return hashlib.sha256(self.read(i)).digest()

    def sha256(self) -> str:
        """Hex digest over classes, and each image's name, label and bytes, in order.

        A pack of untouched files has the digest of its folder.
        """
        total = hashlib.sha256(_encode("\0".join(self.classes)))
        for i, (name, label) in enumerate(zip(self.names, self.labels, strict=True)):
            total.update(_encode(f"\n{label}\0{name}\0"))
            total.update(self.digest(i))
        return total.hexdigest()


def _encode(text: str) -> bytes:
    """UTF-8; a file name that is not UTF-8 keeps its bytes."""
    return text.encode("utf-8", "surrogateescape")


def is_test_file(name: str) -> bool:
    """Whether this is one of ImageNet's validation images, by its file name."""
    return PurePosixPath(name).name.startswith(TEST_FILE_PREFIX)


def separate_test_files(files: ImageFiles) -> tuple[ImageFiles, ImageFiles]:
    """(the others, ImageNet's own validation images)."""
    test = [i for i, name in enumerate(files.names) if is_test_file(name)]
    rest = [i for i, name in enumerate(files.names) if not is_test_file(name)]
    return files.select(rest), files.select(test)


def read_folder(path: Path, every_file: bool = False) -> ImageFiles:
    """Indexes a folder with a sub-folder per class, sorted by name; sub-folders may nest.

    Images are found by SUFFIXES; hidden files and folders, with a dot before their name, and the
    files that Windows keeps beside images are passed over. With `every_file`, all others count:
    a file that is no image is an error when it is decoded, images beside the sub-folders and links
    that are not followed are errors here, and nothing is left out unseen.

    Raises DataError: no folder, fewer than two classes, or a class without images.
    """
    if not path.is_dir():
        raise DataError(
            f"{path}: expected a folder with a sub-folder per class; found "
            f"{'no such folder' if not path.exists() else 'a file'}. Correct the path."
        )
    entries = [f for f in path.iterdir() if not f.name.startswith(".")]
    folders = list_folders(path)
    if len(folders) < 2:
        raise DataError(
            f"{path}: expected a sub-folder per class, at least 2; found {len(folders)}. Put the "
            "images of each class into a folder named like the class."
        )
    if every_file and (gone := [f for f in entries if not f.exists()]):
        raise DataError(f"{gone[0]}: expected a folder; found a link to nothing. Remove it.")
    if every_file and (loose := sorted(f.name for f in entries if f.suffix.lower() in SUFFIXES)):
        raise DataError(
            f"{path}: expected every image in the sub-folder of its class; found beside them "
            f"{', '.join(loose[:5])}. Move them into one, or out of the folder."
        )
    files: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        found = list_visible(folder)
        if every_file and (links := [f for f in found if f.is_symlink() and not f.is_file()]):
            raise DataError(
                f"{links[0]}: expected an image or a folder; found a link to "
                f"{'a folder' if links[0].is_dir() else 'nothing'}. Put the images themselves "
                "there, or remove it."
            )
        inside = sorted(
            (f for f in found if f.is_file() and (every_file or f.suffix.lower() in SUFFIXES)),
            key=lambda file: file.relative_to(path).as_posix(),
        )
        if not inside:
            raise DataError(
                f"{folder}: expected images ({', '.join(SUFFIXES)}), found none. Add some, or "
                "remove the folder."
            )
        files += inside
        labels += [label] * len(inside)
    return ImageFiles(
        tuple(file.relative_to(path).as_posix() for file in files),
        tuple(labels),
        tuple(folder.name for folder in folders),
        lambda i: files[i].read_bytes(),
    )


def list_folders(folder: Path) -> list[Path]:
    """The folders in a folder that are not hidden, sorted by name; none if it is no folder."""
    if not folder.is_dir():
        return []
    inside = (f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
    return sorted(inside, key=lambda path: path.name)


def list_visible(folder: Path) -> list[Path]:
    """Everything below a folder, but for hidden files and folders (with a dot before their name)
    and what operating systems keep beside images: Thumbs.db, desktop.ini, .DS_Store.
    """
    return [path for path in folder.rglob("*") if not _is_hidden(path.relative_to(folder))]


def list_images(folder: Path) -> list[Path]:
    """The files below a folder that have an image's suffix and are not hidden, sorted."""
    return sorted(path for path in list_visible(folder) if path.suffix.lower() in SUFFIXES)


def _is_hidden(path: Path) -> bool:
    system = path.name.lower() in _SYSTEM_FILES
    return system or any(part.startswith(".") for part in path.parts)


def join_files(parts: Sequence[ImageFiles]) -> ImageFiles:
    """All images of several sources, labels renumbered over the sorted union of the classes.

    Sorted by class and name: order and digest do not depend on where the images lay.
    """
    classes = tuple(sorted({name for part in parts for name in part.classes}))
    index = {name: label for label, name in enumerate(classes)}
    places = [(part, i) for part in parts for i in range(len(part))]
    places.sort(key=lambda place: _class_and_name(*place))
    return ImageFiles(
        tuple(part.names[i] for part, i in places),
        tuple(index[part.classes[part.labels[i]]] for part, i in places),
        classes,
        lambda i: places[i][0].read(places[i][1]),
    )


def _class_and_name(files: ImageFiles, i: int) -> tuple[str, str]:
    return files.classes[files.labels[i]], files.names[i]


def relabel(files: ImageFiles, classes: tuple[str, ...], where: str) -> ImageFiles:
    """The same images, labels counted in other `classes`.

    Raises DataError if they have a class that is not among these.
    """
    used = {files.classes[label] for label in files.labels}
    if strangers := sorted(used - set(classes)):
        raise DataError(
            f"{where}: expected the {len(classes)} classes of the training images; found also "
            f"{', '.join(strangers[:5])}. Give both the same sub-folders."
        )
    index = {name: label for label, name in enumerate(classes)}
    labels = tuple(index[files.classes[label]] for label in files.labels)
    return ImageFiles(files.names, labels, classes, files.read)
