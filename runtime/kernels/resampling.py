"""From a decoded image to a network's input in one call of the kernel library (ctypes).

The pixels are those of Pillow's `Image.resize` with a box, bit for bit. They are read where Pillow
keeps them, through the Arrow C data interface.
"""

import ctypes
import functools
import platform
from typing import Any, Final

import numpy as np
from PIL import Image

from runtime.errors import EngineUnavailable
from runtime.kernels import library, structs
from runtime.kernels.arrays import allocate, require
from runtime.kernels.parts import Floats

#: Manifest name of an interpolation -> BNN_FILTER_*.
_FILTERS: Final = {"area": 0, "bilinear": 1, "bicubic": 2}
# Compilers for ARM fuse the multiplications and additions of Pillow's coefficients. The last bit of
# a coefficient, which that may change, is far below a level; but "area" takes a pixel at the edge
# of a block or leaves it by that bit.
_EXACT: Final = {"area", "bilinear", "bicubic"} - (
    set() if platform.machine() in ("x86_64", "AMD64") else {"area"}
)
_PIXEL_BYTES: Final = {"L": 1, "RGB": 4}  # as Pillow keeps them
Box = tuple[float, float, float, float]


class _Array(ctypes.Structure):
    """ArrowArray of the Arrow C data interface."""


_Array._fields_ = (
    *((name, ctypes.c_int64) for name in ("length", "null_count", "offset")),
    *((name, ctypes.c_int64) for name in ("n_buffers", "n_children")),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(_Array))),
    *((name, ctypes.c_void_p) for name in ("dictionary", "release", "private_data")),
)


@functools.cache
def _load() -> ctypes.CDLL | None:
    """The kernel library; None if it, or the wanted implementation, is not available.

    An engine that needs it reports the reason; others compute the same pixels with Pillow.
    """
    try:
        kernels = library.load_library()
        library.active()
    except EngineUnavailable:
        return None
    kernels.bnn_resize.argtypes = [
        ctypes.POINTER(structs.View), ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p,
        ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t),
    ]  # fmt: skip
    return kernels


def is_quicker() -> bool:
    """Whether `resample` is faster than Pillow: not with the generic implementation."""
    return _load() is not None and library.active() != "generic"


@functools.cache
def _load_capsules() -> Any:
    function = ctypes.pythonapi.PyCapsule_GetPointer
    function.argtypes = [ctypes.py_object, ctypes.c_char_p]
    function.restype = ctypes.c_void_p
    return function


def resample(
    image: Image.Image,
    box: Box,
    interpolation: str,
    orientation: int,
    levels: Floats,
    side: int,
) -> Floats | None:
    """The box of an image, resized, turned upright, each channel's pixels looked up.

    levels [3, 256] -> float32 [3, side, side]. None if Pillow has to do it: without the kernel
    library, for other modes than L and RGB, for "area" on ARM, and for an image that Pillow does
    not keep in one block, as above 16 MB. Raises ValueError for a box that is not inside the image.
    """
    kernels = _load()
    if kernels is None or image.mode not in _PIXEL_BYTES or interpolation not in _EXACT:
        return None
    if (found := _find_pixels(image)) is None:
        return None
    address, _keeper = found  # the keeper must live through the call
    pixel_bytes = _PIXEL_BYTES[image.mode]
    view = structs.View(
        address, image.width * pixel_bytes, *image.size, pixel_bytes, _FILTERS[interpolation],
        orientation, (ctypes.c_float * 4)(*box),
    )  # fmt: skip
    levels_address = require("levels", levels, np.float32, (3, 256))
    size = ctypes.c_size_t()
    library.check(kernels.bnn_resize(ctypes.byref(view), None, side, None, None, size))
    workspace = allocate(size.value)
    out = np.empty((3, side, side), np.float32)
    library.check(
        kernels.bnn_resize(view, levels_address, side, out.ctypes.data, workspace.ctypes.data, size)
    )
    return out


def _find_pixels(image: Image.Image) -> tuple[int, object] | None:
    """The address of an image's first pixel and the object that keeps the memory, or None.

    The rows must follow each other without a gap: Pillow 13 refuses others.
    """
    image.load()
    try:
        _, keeper = image.__arrow_c_array__()
    except ValueError:
        return None
    array = _Array.from_address(_load_capsules()(keeper, b"arrow_array"))
    if array.length != image.width * image.height:
        return None
    pixels = array.children[0].contents if array.n_children else array
    if array.n_children != (0 if image.mode == "L" else 1) or pixels.n_buffers != 2:
        return None
    address = pixels.buffers[1]
    return None if address is None else (address, keeper)
