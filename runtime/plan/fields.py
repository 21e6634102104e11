"""Reads the fields of a plan's JSON objects: missing, unknown and wrong ones have own errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

from runtime.errors import REEXPORT, InvalidManifest
from runtime.kernels.parts import Window

Shape = tuple[int, ...]

# What the kernel library takes. Other engines could take more, but a plan runs in all of them.
MAX_CHANNELS = 2**16
MAX_SIDE = 2**14  # positions of a map
MAX_CLASSES = 2**20
MAX_WINDOW = 31  # kernel and stride
MAX_SIZE = 2**27  # values in one activation map, 512 MiB: far beyond any network that fits here

_WINDOW = ("kernel", "stride", "padding")


def invalid(where: str, what: str) -> InvalidManifest:
    """The error of a plan: what was expected and found, and where."""
    return InvalidManifest(f"plan: {f'{where}: ' if where else ''}{what}. {REEXPORT}")


class Fields:
    """One JSON object of a plan, and its name in messages. Every method raises InvalidManifest."""

    def __init__(self, content: object, where: str) -> None:
        self._content, self.where = content, where

    def refuse_others(self, needed: Iterable[str], optional: Iterable[str] = ()) -> None:
        """Refuses keys that the format lacks; the others are looked up by name."""
        known = {*needed, *optional}
        assert isinstance(self._content, Mapping)
        for key in self._content:
            if key not in known:
                raise self.invalid(f"expected the keys {', '.join(needed)}, found {key!r:.80}")

    def text(self, key: str) -> str:
        """A text that names something."""
        value = self._get(key, "a name")
        if not isinstance(value, str) or not value.isidentifier():
            raise self.invalid(f"expected a name as `{key}`, found {value!r:.80}")
        return value

    def whole(self, key: str) -> int:
        """A whole number."""
        value = self._get(key, "a whole number")
        if not _is_whole(value):
            raise self.invalid(f"expected a whole number as `{key}`, found {value!r:.80}")
        return int(value)

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self._get(key, "true or false")
        if not isinstance(value, bool):
            raise self.invalid(f"expected true or false as `{key}`, found {value!r:.80}")
        return value

    def items(self, key: str) -> list[Any]:
        """A list of anything."""
        value = self._get(key, "a list")
        if not isinstance(value, list):
            raise self.invalid(f"expected a list as `{key}`, found {value!r:.80}")
        return value

    def choice(self, key: str, choices: Iterable[str]) -> str | None:
        """One of some texts, or None if the key is missing."""
        if not isinstance(self._content, Mapping) or key not in self._content:
            return None
        value = self._content[key]
        if not isinstance(value, str) or value not in choices:
            raise self.invalid(f"expected {' or '.join(choices)} as `{key}`, found {value!r:.80}")
        return value

    def shape(self, key: str, length: int) -> Shape:
        """[channels, height, width], or [classes]."""
        value = self.items(key)
        check_shape(value, length, key, self.where)
        return tuple(value)

    def window(self) -> Window:
        """The padding of a convolution, which has other keys in addition."""
        padding = self.items("padding")
        if len(padding) != 2 or not all(_is_whole(value) for value in padding):
            raise self.invalid(f"expected [before, after] as `padding`, found {padding!r:.80}")
        return Window(self.whole("kernel"), self.whole("stride"), *padding)

    def pool(self) -> Window | None:
        """The window `pool`, or None for null."""
        value = self._get("pool", "a window or null")
        if value is None:
            return None
        fields = Fields(value, f"{self.where}: pool")
        window = fields.window()
        fields.refuse_others(_WINDOW)
        return window

    def invalid(self, what: str) -> InvalidManifest:
        return invalid(self.where, what)

    def _get(self, key: str, what: str) -> Any:
        if not isinstance(self._content, Mapping) or key not in self._content:
            raise self.invalid(f"expected {what} as `{key}`, found none")
        return self._content[key]


def describe_window(window: Window) -> dict[str, Any]:
    """The JSON of a window."""
    padding = [window.padding_before, window.padding_after]
    return {"kernel": window.kernel, "stride": window.stride, "padding": padding}


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# ---- values that a field may have: all raise InvalidManifest -------------------------------------


def check_range(value: int, low: int, high: int, key: str, where: str) -> None:
    """Checks that a number is in the range."""
    if not low <= value <= high:
        raise invalid(
            where, f"expected a whole number from {low} to {high} as `{key}`, found {value!r:.80}"
        )


def check_groups(groups: int, channels: int, key: str, where: str) -> None:
    """Checks that the groups divide the channels."""
    check_range(groups, 1, MAX_CHANNELS, key, where)
    if channels % groups:
        raise invalid(where, f"expected {key} that divide {channels} channels, found {groups}")


def check_shape(shape: list[Any] | Shape, length: int, key: str, where: str) -> None:
    """Checks that the shape of a map, or of the vector [classes], is within limits."""
    limits = (MAX_CHANNELS, MAX_SIDE, MAX_SIDE) if length == 3 else (MAX_CLASSES,) * length
    fits = len(shape) == length and all(
        _is_whole(size) and 1 <= size <= limit for size, limit in zip(shape, limits, strict=True)
    )
    if not fits or prod(shape) > MAX_SIZE:
        raise invalid(
            where,
            f"expected {length} whole numbers from 1, at most {list(limits)} and {MAX_SIZE} values "
            f"in all, as `{key}`, found {list(shape)!r:.80}",
        )


def slide(window: Window, height: int, width: int, where: str) -> tuple[int, int]:
    """The number of positions of a window in a map: (down, across)."""
    before, after = window.padding_before, window.padding_after
    check_range(window.kernel, 1, MAX_WINDOW, "kernel", where)
    check_range(window.stride, 1, MAX_WINDOW, "stride", where)
    if (
        not 0 <= min(before, after) <= max(before, after) < window.kernel
        or min(height, width) + before + after < window.kernel
    ):
        raise invalid(
            where,
            f"expected a padding below the kernel, and a kernel that fits the padded map; found "
            f"kernel {window.kernel} and padding {[before, after]!r:.80} on {height}x{width}",
        )
    down, across = (
        (side + before + after - window.kernel) // window.stride + 1 for side in (height, width)
    )
    return down, across
