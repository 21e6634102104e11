"""A set of names that takes eight bytes for each; for the names that a file of rows has."""

import numpy as np
import numpy.typing as npt

from service.bulk.shards import hash_name

_RECENT = 65_536  # of Python's own, some hundred bytes each, until they join the others


class NameSet:
    """A sorted set of 64-bit hashes. Among a million names, two collide once in 4e7 runs."""

    def __init__(self) -> None:
        self._sorted: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self._recent: set[int] = set()

    def __len__(self) -> int:
        return len(self._sorted) + len(self._recent)

    def add(self, name: str) -> bool:
        """Adds a name; whether it is new."""
        value = hash_name(name)
        if value in self._recent or self._find(value):
            return False
        self._recent.add(value)
        if len(self._recent) == _RECENT:
            new = np.fromiter(self._recent, np.uint64, _RECENT)
            self._sorted = np.sort(np.concatenate((self._sorted, new)), kind="stable")
            self._recent.clear()
        return True

    def _find(self, value: int) -> bool:
        key = np.uint64(value)
        place = self._sorted.searchsorted(key)
        return bool(place < len(self._sorted) and self._sorted[place] == key)
