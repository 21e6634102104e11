"""NumPy arrays as the kernel library needs them: aligned where it asks for it, checked always."""

from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from runtime.kernels.parts import Part

ALIGNMENT: Final = 64


def allocate(size: int) -> Part:
    """An uninitialised uint8 [size] array aligned for parts and workspaces."""
    buffer = np.empty(size + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    return buffer[start : start + size]


def require(
    name: str,
    array: NDArray[Any],
    dtype: DTypeLike,
    shape: tuple[int | None, ...],
    writable: bool = False,
) -> int:
    """The address of a contiguous array of this type and shape; None is any length.

    writable: the kernels write to it. Raises ValueError for any other array.
    """
    fits = len(array.shape) == len(shape) and all(
        want is None or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    if array.dtype != np.dtype(dtype) or not fits or not array.flags.c_contiguous:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        layout = "contiguous" if array.flags.c_contiguous else "not contiguous"
        raise ValueError(
            f"{name}: expected a contiguous {np.dtype(dtype)} array [{wanted}], "
            f"found {layout} {array.dtype} {list(array.shape)}"
        )
    if writable and not array.flags.writeable:
        raise ValueError(
            f"{name}: expected a writable array, found a read-only one; pass a copy of it or None"
        )
    return int(array.ctypes.data)


def require_apart(**arrays: NDArray[Any]) -> None:
    """Raises ValueError where two of the arrays may share memory."""
    for (name, array), (other, second) in combinations(arrays.items(), 2):
        if np.may_share_memory(array, second):
            raise ValueError(
                f"{other}: expected memory of its own, found some that {name} uses; "
                "pass another array or None"
            )
