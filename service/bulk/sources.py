"""The sources of names: files, folders, prefixes of object stores and lists, in order."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from service.bulk.folders import Passed, is_image_name, list_folder
from service.bulk.name_lists import InvalidList, read_list
from service.bulk.name_set import NameSet
from service.bulk.object_store import StoreUnusable, is_prefix, is_url, list_prefix
from service.bulk.shards import WHOLE, Shard


class Listed(NamedTuple):
    """An image's name, as in its row, and its key, which decides its shard."""

    name: str
    key: str


def tidy_name(name: str) -> str:
    """One name for `a/b`, `./a/b` and `a//b`, so that a later run finds it; URLs stay unchanged.

    So do names with `..`: behind a link to a folder that is another place.
    """
    if not name or is_url(name) or ".." in name.split("/"):
        return name
    short = os.path.normpath(name)
    return name if is_url(short) else short


@dataclass
class Sources:
    """The names and lists of the command line; `passed` and `seen` count while listing.

    A key is the name below the given folder or prefix, so that the shards are the same on machines
    that have the folder elsewhere; for other names, the key is the name.
    """

    names: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    is_recursive: bool = False
    by_nul: bool = False
    shard: Shard = WHOLE
    passed: Passed = field(default_factory=Passed)
    seen: int = 0

    def list_names(self, report: Callable[[str, Exception], None]) -> Iterator[str]:
        """The names of the shard. A source that cannot be listed is given to `report`.

        Raises InvalidList, StoreUnusable.
        """
        for name, key in self._list_all(report):
            self.seen += 1
            if self.shard.has(key):
                yield name

    def find_overlap(self) -> tuple[str, str] | None:
        """A folder or prefix, and names that were given although its listing has them, too."""
        places = {_locate(name): name for name in self.names}
        for place, name in places.items():
            above = place
            while "/" in above:
                above = above.rpartition("/")[0]
                if above in places and self._is_listed(name, place, above):
                    return places[above], name
        return None

    def _is_listed(self, name: str, place: str, above: str) -> bool:
        """Whether the listing of a higher folder contains the name, or something below it."""
        folder, _, last = place.rpartition("/")
        if os.path.isdir(name) or (is_url(name) and (name[-1] == "/" or not is_image_name(last))):
            return self.is_recursive
        return is_image_name(last) and (self.is_recursive or folder == above)

    def _list_all(self, report: Callable[[str, Exception], None]) -> Iterator[Listed]:
        for name in self.names:
            if is_url(name):
                yield from self._list_url(name, report)
            elif os.path.isdir(name):
                folder = tidy_name(name)
                root = len(os.path.join(folder, ""))
                for path in list_folder(folder, self.is_recursive, self.passed, report):
                    yield Listed(tidy_name(path), path[root:])
            else:
                yield Listed(tidy_name(name), tidy_name(name))
        for file in self.lists:
            for name in map(tidy_name, self._read_list(file, report)):
                yield Listed(name, name)

    def _list_url(self, url: str, report: Callable[[str, Exception], None]) -> Iterator[Listed]:
        try:
            is_one = not url.endswith("/") and (
                is_image_name(url.rpartition("/")[2]) or not is_prefix(url)
            )
        except StoreUnusable:
            raise
        except Exception as fault:  # a store raises what its library does
            report(url, fault)
            return
        if is_one:
            yield Listed(url, url)
            return
        root = len(url.removesuffix("/")) + 1
        listed = NameSet()  # a store may give a prefix as one that lies below it
        waiting = [url]
        while waiting:
            prefix = waiting.pop()
            if not listed.add(prefix):
                continue
            folders = []
            try:
                for entry in list_prefix(prefix):
                    last = entry.url.removesuffix("/").rpartition("/")[2]
                    if not entry.is_folder:
                        if is_image_name(last):
                            yield Listed(entry.url, entry.url[root:])
                        else:
                            self.passed.other += 1
                    elif not self.is_recursive:
                        self.passed.folders += 1
                    elif not last.startswith("."):
                        folders.append(entry.url)
            except StoreUnusable:
                raise
            except Exception as fault:
                report(prefix, fault)
            waiting += reversed(folders)

    def _read_list(self, file: str, report: Callable[[str, Exception], None]) -> Iterator[str]:
        is_input = file == "-"
        title = "--from-file -" if is_input else f"--from-file {file}"
        try:
            descriptor = 0 if is_input else os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as fault:
            raise InvalidList(
                f"{title}: expected a list of names; found: {fault.strerror}"
            ) from fault
        try:
            yield from read_list(descriptor, self.by_nul, title)
        except OSError as fault:
            report(title, fault)
        finally:
            if not is_input:
                os.close(descriptor)


def _locate(name: str) -> str:
    """A name without a slash at its end, from the root on if it is local."""
    return name.removesuffix("/") if is_url(name) else os.path.abspath(name).rstrip("/")
