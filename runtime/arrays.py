"""NumPy arrays as the kernel library needs them: aligned where it asks for it, checked always."""

from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from runtime.parts import Part

ALIGNMENT: Final = 64


def allocate(size: int) -> Part:
    """An uninitialised uint8 [size] array aligned for parts and workspaces."""
    buffer = np.empty(size + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    return buffer[start : start + size]


def require(name: str, array: NDArray[Any], dtype: DTypeLike, shape: tuple[int | None, ...]) -> int:
    """The address of a contiguous array of this type and shape; None is any length."""
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
    return int(array.ctypes.data)
