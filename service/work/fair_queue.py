"""A queue that takes turns: between callers, then between a caller's connections."""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class FairQueue(Generic[_T]):
    """Items by caller and connection. Not thread-safe: its owner holds the lock.

    A caller with a hundred items in the queue delays one with a single item by one item only.
    """

    def __init__(self) -> None:
        self._callers: OrderedDict[Hashable, OrderedDict[Hashable, deque[_T]]] = OrderedDict()
        self._counts: dict[Hashable, int] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def count(self, caller: Hashable) -> int:
        """How many items this caller has in the queue."""
        return self._counts.get(caller, 0)

    def push(self, item: _T, caller: Hashable, connection: Hashable) -> None:
        """Appends an item to those of its connection."""
        connections = self._callers.setdefault(caller, OrderedDict())
        connections.setdefault(connection, deque()).append(item)
        self._change(caller, 1)

    def pop(self) -> _T | None:
        """Takes the next item, of the caller and connection whose turn it is; None: empty."""
        if not self._callers:
            return None
        caller, connections = next(iter(self._callers.items()))
        connection, items = next(iter(connections.items()))
        item = items.popleft()
        connections.move_to_end(connection)
        self._callers.move_to_end(caller)
        self._tidy(caller, connection)
        self._change(caller, -1)
        return item

    def remove(self, item: _T, caller: Hashable, connection: Hashable) -> bool:
        """Takes out this item; False if it is not in the queue."""
        items = self._callers.get(caller, OrderedDict()).get(connection)
        if items is None or item not in items:
            return False
        items.remove(item)
        self._tidy(caller, connection)
        self._change(caller, -1)
        return True

    def clear(self) -> list[_T]:
        """Takes out everything, in the order of turns."""
        items = []
        while (item := self.pop()) is not None:
            items.append(item)
        return items

    def _tidy(self, caller: Hashable, connection: Hashable) -> None:
        connections = self._callers[caller]
        if not connections[connection]:
            del connections[connection]
        if not connections:
            del self._callers[caller]

    def _change(self, caller: Hashable, by: int) -> None:
        self._length += by
        count = self._counts.get(caller, 0) + by
        if count:
            self._counts[caller] = count
        else:
            del self._counts[caller]
