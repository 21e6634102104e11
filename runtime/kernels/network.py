"""A whole network in one call of the kernel library, on one thread or several (ctypes).

The call releases the interpreter lock once, writes no map that the next layer group does not read,
and divides each image among the threads of its pool.
"""

from __future__ import annotations

import ctypes
import itertools
import weakref
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from runtime.kernels import library
from runtime.kernels.arrays import allocate, require, require_apart
from runtime.kernels.parts import Floats, Part

#: Images of a call that run together at most (kTogether in csrc/kernels/sliced/sliced.h).
TOGETHER: Final = 8

_POINTER, _SIZE, _I32 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int32


class _Part(ctypes.Structure):
    _fields_ = (("part", _POINTER), ("bytes", _SIZE))


def _load() -> ctypes.CDLL:
    kernels = library.load_library()
    kernels.bnn_pool_new.argtypes = [_I32, ctypes.POINTER(_POINTER)]
    kernels.bnn_pool_free.argtypes = [_POINTER]
    kernels.bnn_pool_free.restype = None
    kernels.bnn_network_workspace.argtypes = [
        *(_POINTER, _I32, _I32, ctypes.c_int64, ctypes.POINTER(_SIZE)),
    ]
    kernels.bnn_network_run.argtypes = [
        *(_POINTER, _I32, _POINTER, ctypes.c_int64),
        *(_POINTER, _POINTER, _SIZE, _POINTER, _I32),
    ]
    kernels.bnn_phase_name.argtypes = [_I32]
    kernels.bnn_phase_name.restype = ctypes.c_char_p
    kernels.bnn_network_profile.argtypes = [
        *(_POINTER, _I32, _POINTER, _POINTER, _POINTER, _SIZE, _POINTER),
    ]
    return kernels


def phase_names() -> tuple[str, ...]:
    """The phases of a layer group's time, in the order of Network.profile."""
    names = (_load().bnn_phase_name(i) for i in itertools.count())
    return tuple(name.decode() for name in itertools.takewhile(bool, names))


class Network:
    """Prepared layer groups in a row, and a pool of `threads` threads (the calling one among them).

    Safe to call from several threads, each call with its own workspace: all calls together use no
    more than `threads` threads at a time. `input` is [C, H, W], `classes` the length of the output.
    Raises ValueError if the layer groups do not fit together, or for more threads than the system
    gives.
    """

    def __init__(self, parts: Sequence[Part], threads: int = 1) -> None:
        self._kernels = _load()
        self._owners = list(parts)  # the memory that the structs below point to
        self._parts = (_Part * len(parts))(
            *(_Part(require("part", part, np.uint8, (None,)), part.size) for part in parts)
        )
        pool = _POINTER()
        if threads > 1:
            library.check(self._kernels.bnn_pool_new(threads, ctypes.byref(pool)))
            weakref.finalize(self, self._kernels.bnn_pool_free, _POINTER(pool.value))
        self._pool = pool
        self.threads = threads
        self.input = library.describe_part(parts[0]).input
        self.classes = library.describe_part(parts[-1]).output[0]

    def measure_workspace(self, threads: int, images: int = 1) -> int:
        """Bytes of memory for one call at a time, of at most that many threads.

        images: of a call, for as many of them to run together as pays; more than TOGETHER need no
        more memory. A call may always have more images than that, and runs them in turn.
        """
        size = _SIZE()
        library.check(
            self._kernels.bnn_network_workspace(
                self._parts, len(self._parts), threads, images, ctypes.byref(size)
            )
        )
        return size.value

    def allocate_workspace(self, threads: int, images: int = 1) -> Part:
        """Memory for one call at a time, see `measure_workspace`."""
        return allocate(self.measure_workspace(threads, images))

    def run(self, images: Floats, workspace: Part, out: Floats, threads: int) -> None:
        """images [N, C, H, W] -> out [N, classes], written; the three must not share memory.

        threads: of the pool, at most; the workspace must be for so many. Raises ValueError.
        """
        x = require("images", images, np.float32, (None, *self.input))
        y = require("out", out, np.float32, (images.shape[0], self.classes), writable=True)
        room = require("workspace", workspace, np.uint8, (None,), writable=True)
        require_apart(images=images, out=out, workspace=workspace)
        library.check(
            self._kernels.bnn_network_run(
                self._parts, len(self._parts), x, images.shape[0], y, room, workspace.size,
                self._pool, threads,
            )
        )  # fmt: skip

    def profile(self, image: Floats, workspace: Part, out: Floats) -> NDArray[np.float64]:
        """Runs one image [1, C, H, W] on one thread -> nanoseconds [layer groups, phases].

        A stage that hands its counts to the transition behind it does so here too. Raises
        ValueError.
        """
        x = require("image", image, np.float32, (1, *self.input))
        y = require("out", out, np.float32, (1, self.classes), writable=True)
        room = require("workspace", workspace, np.uint8, (None,), writable=True)
        require_apart(image=image, out=out, workspace=workspace)
        nanoseconds = np.empty((len(self._parts), len(phase_names())))
        library.check(
            self._kernels.bnn_network_profile(
                self._parts, len(self._parts), x, y, room, workspace.size, nanoseconds.ctypes.data
            )
        )
        return nanoseconds
