"""Lists the images of a folder, by the endings of their names, piece by piece."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

#: Of files that are taken for images where nobody named them.
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif")
_SORTED = 10_000  # entries of a folder that are held and sorted at a time


@dataclass
class Passed:
    """Counts what listings skipped: `other` files by their names, folders that were not entered."""

    other: int = 0
    folders: int = 0
    links: int = 0  # to folders

    def __str__(self) -> str:
        """`3 other files, 1 folder (-r enters it) and 2 links to folders`, or nothing."""
        parts = []
        if self.other:
            parts.append(f"{self.other:,} other file{'s'[: self.other > 1]}")
        if self.folders:
            them = "them" if self.folders > 1 else "it"
            parts.append(f"{self.folders:,} folder{'s'[: self.folders > 1]} (-r enters {them})")
        if self.links:
            what = "links to folders" if self.links > 1 else "link to a folder"
            parts.append(f"{self.links:,} {what}")
        return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def is_image_name(name: str) -> bool:
    """Whether a file of this name is listed: not hidden, and with the ending of an image's name.

    So not Thumbs.db, desktop.ini or .DS_Store, nor ._photo.jpg, which macOS writes beside
    photo.jpg.
    """
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def list_folder(
    folder: str,
    is_recursive: bool,
    passed: Passed,
    report: Callable[[str, Exception], None],
) -> Iterator[str]:
    """Paths of the images of a folder and its sub-folders: first files, by name, then folders.

    A larger folder is read in pieces of 10 000 entries. Links to files are followed, links to
    folders are not: they may lead in a circle. Hidden folders are skipped. A folder that cannot be
    read is given to `report`, and the others go on.
    """
    open_folders = [_list_entries(folder, passed, report)]
    while open_folders:
        for path, is_folder in open_folders[-1]:
            if not is_folder:
                yield path
            elif is_recursive:
                open_folders.append(_list_entries(path, passed, report))
                break
            else:
                passed.folders += 1
        else:
            open_folders.pop()


def _list_entries(
    folder: str, passed: Passed, report: Callable[[str, Exception], None]
) -> Iterator[tuple[str, bool]]:
    """Paths of images and of folders, and the kind of each."""
    try:
        with os.scandir(folder) as entries:
            while chunk := list(islice(entries, _SORTED)):
                chunk.sort(key=lambda entry: entry.name)
                folders = []
                for entry in chunk:
                    if entry.is_dir(follow_symlinks=False):
                        if not entry.name.startswith("."):
                            folders.append(entry.path)
                    elif is_image_name(entry.name) and _is_file(entry):
                        yield entry.path, False
                    elif entry.is_symlink() and os.path.isdir(entry.path):
                        passed.links += 1
                    else:
                        passed.other += 1
                for path in folders:
                    yield path, True
    except OSError as fault:
        report(folder, fault)


def _is_file(entry: "os.DirEntry[str]") -> bool:
    """Skips pipes and devices, which may never end. A link that leads nowhere gets a row later."""
    if entry.is_file(follow_symlinks=False):
        return True
    try:
        return stat.S_ISREG(os.stat(entry.path).st_mode)
    except OSError:
        return True
