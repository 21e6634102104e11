"""Loads the kernel library and wraps its C ABI (csrc/bnn.h) for NumPy arrays.

Prepared layer groups (*parts* in names) are 64-byte aligned uint8 arrays that the caller owns. All
calls release the interpreter lock while the kernels run.
"""

import ctypes
import functools
import json
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ImplementationUnavailable, NativeUnavailable
from runtime.kernels import structs
from runtime.kernels.arrays import ALIGNMENT as ALIGNMENT
from runtime.kernels.arrays import allocate as allocate
from runtime.kernels.arrays import require, require_apart
from runtime.kernels.bitpack import GROWTH, KERNEL
from runtime.kernels.installed import REBUILD
from runtime.kernels.installed import SUFFIX as SUFFIX
from runtime.kernels.installed import find_file as find_file
from runtime.kernels.parts import (
    Convolution,
    Floats,
    Head,
    Implementation,
    Int8,
    Part,
    PartInfo,
    Stage,
    Stem,
    Transition,
    Weights,
    Window,
    Words,
)

ABI: Final = 4
#: All that there are, the best first; a CPU has those of its architecture. See implementations().
IMPLEMENTATIONS: Final = ("avx512", "avx2", "neon_dot", "neon", "generic")

_OK, _EUNSUPPORTED = 0, 2


# ---- the library -----------------------------------------------------------------------------


@functools.cache
def load_library() -> ctypes.CDLL:
    """The loaded library, its functions declared. Raises NativeUnavailable."""
    path = find_file(f"libbnn{SUFFIX}")
    try:
        library = ctypes.CDLL(str(path))
        abi = int(library.bnn_abi())
        library.bnn_float_order.restype = ctypes.c_int
    except (OSError, AttributeError) as error:
        raise NativeUnavailable(
            f"expected a kernel library for this system, but {path} does not load: {error}. "
            f"{REBUILD}"
        ) from error
    if abi != ABI:
        raise NativeUnavailable(
            f"expected a kernel library with ABI {ABI}, found ABI {abi} in {path}. {REBUILD}"
        )
    pointer, size, i32, i64 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int32, ctypes.c_int64
    sizes = ctypes.POINTER(size)
    library.bnn_error.restype = ctypes.c_char_p
    library.bnn_active.restype = ctypes.c_char_p
    library.bnn_select.argtypes = [ctypes.c_char_p]
    library.bnn_implementations.argtypes = [
        ctypes.POINTER(ctypes.POINTER(structs.Implementation)),
        ctypes.POINTER(i32),
    ]
    library.bnn_pack.argtypes = [pointer, pointer, pointer, i64, i64, pointer]
    library.bnn_conv3x3.argtypes = [pointer, pointer, *[i64] * 5, i32, pointer, pointer, sizes]
    for kind, structure in (
        ("stem", structs.Stem),
        ("stage", structs.Stage),
        ("transition", structs.Transition),
        ("head", structs.Head),
    ):
        prepare = getattr(library, f"bnn_{kind}_prepare")
        prepare.argtypes = [ctypes.POINTER(structure), pointer, sizes]
    library.bnn_part_describe.argtypes = [pointer, size, ctypes.POINTER(structs.PartInfo)]
    library.bnn_part_report.argtypes = [pointer, size, ctypes.c_char_p, size]
    library.bnn_part_run.argtypes = [pointer, size, pointer, i64, pointer, pointer, size]
    return library


def check(status: int) -> None:
    """Turns a status into an exception with the library's own message."""
    if status == _OK:
        return
    message = load_library().bnn_error().decode()
    raise ImplementationUnavailable(message) if status == _EUNSUPPORTED else ValueError(message)


def float_order() -> int:
    """The number of the order of float operations: equal numbers give equal bits of logits."""
    return int(load_library().bnn_float_order())


def implementations() -> tuple[Implementation, ...]:
    """All implementations in the library, best first; generic is the last."""
    entries = ctypes.POINTER(structs.Implementation)()
    count = ctypes.c_int32()
    check(load_library().bnn_implementations(ctypes.byref(entries), ctypes.byref(count)))
    return tuple(
        Implementation(entry.name.decode(), entry.features.decode(), bool(entry.supported))
        for entry in (entries[i] for i in range(count.value))
    )


def select(name: str | None = None) -> str:
    """Makes an implementation the active one and returns its name.

    None: the one that BNN_FORCE_IMPLEMENTATION names, else the best that this CPU can run. Raises
    ImplementationUnavailable for a name that is unknown or that this CPU cannot run.
    """
    check(load_library().bnn_select(None if name is None else name.encode()))
    return active()


def active() -> str:
    """Name of the active implementation; chosen as by select(None) on first use."""
    name = load_library().bnn_active()
    if name is None:
        check(_EUNSUPPORTED)
    return str(name.decode())


# ---- single layers ---------------------------------------------------------------------------


def pack(x: Floats, threshold: Floats | None = None, flip: Words | None = None) -> Words:
    """Binarizes and packs x [..., c] -> words [..., c / 32]: bit = (x >= threshold) ^ flip.

    threshold [c] defaults to zeros, flip [c / 32] to zeros. Raises ValueError.
    """
    channels = x.shape[-1]
    if threshold is None:
        threshold = np.zeros(channels, np.float32)
    if flip is None:
        flip = np.zeros(channels // 32, np.uint32)
    words = np.empty((*x.shape[:-1], channels // 32), np.uint32)
    check(
        load_library().bnn_pack(
            require("x", x, np.float32, x.shape),
            require("threshold", threshold, np.float32, (channels,)),
            require("flip", flip, np.uint32, (channels // 32,)),
            x.size // channels if channels else 0,
            channels,
            words.ctypes.data,
        )
    )
    return words


def conv3x3(x: Words, weight: Words, padding: int = -1) -> NDArray[np.int32]:
    """Mismatches of a binary 3x3 convolution, stride 1.

    x [n, h, w, c / 32] and weight [out, 3, 3, c / 32] -> int32 [n, h, w, out]. Raises ValueError.
    """
    x_address = require("x", x, np.uint32, (None, None, None, None))
    images, height, width, words = x.shape
    weight_address = require("weight", weight, np.uint32, (None, 3, 3, words))
    outputs = weight.shape[0]
    mismatches = np.empty((images, height, width, outputs), np.int32)
    size = ctypes.c_size_t()

    def call(workspace: int | None) -> None:
        check(
            load_library().bnn_conv3x3(
                x_address, weight_address, images, height, width, words * 32, outputs, padding,
                mismatches.ctypes.data, workspace, ctypes.byref(size),
            )
        )  # fmt: skip

    call(None)
    workspace = allocate(size.value)  # named: it must live through the call
    call(workspace.ctypes.data)
    return mismatches


# ---- layer groups ----------------------------------------------------------------------------


def _window(window: Window | None) -> structs.Window:
    if window is None:
        return structs.Window(0, 0, 0, 0)
    return structs.Window(window.kernel, window.stride, window.padding_before, window.padding_after)


def _int8(name: str, weight: Weights, int8: Int8 | None) -> tuple[int | None, Any]:
    """Where float weights are, and the C struct of 8-bit ones; the arrays must outlive it."""
    if int8 is None:
        return require(f"{name}: weight", weight, np.float32, weight.shape), None
    described = structs.Int8(
        require(f"{name}: weight", weight, np.int8, weight.shape),
        require(f"{name}: scale", int8.scale, np.float32, (weight.shape[0],)),
        int8.inverse_step,
    )
    return None, ctypes.pointer(described)


def _convolution(name: str, convolution: Convolution) -> structs.Convolution:
    """The C struct; the arrays must outlive it."""
    weight, window = convolution.weight, convolution.window
    require(f"{name}: weight", weight, weight.dtype, (None, None, window.kernel, window.kernel))
    address, int8 = _int8(name, weight, convolution.int8)
    bias = None
    if convolution.bias is not None:
        bias = require(f"{name}: bias", convolution.bias, np.float32, (weight.shape[0],))
    return structs.Convolution(
        address, bias, weight.shape[1] * convolution.groups, weight.shape[0], convolution.groups,
        _window(window), convolution.relu, int8,
    )  # fmt: skip


def _prepare(kind: str, description: ctypes.Structure) -> Part:
    """Asks for the size, then writes the prepared layer group."""
    function = getattr(load_library(), f"bnn_{kind}_prepare")
    size = ctypes.c_size_t()
    check(function(ctypes.byref(description), None, ctypes.byref(size)))
    part = allocate(size.value)
    check(function(ctypes.byref(description), part.ctypes.data, ctypes.byref(size)))
    part.flags.writeable = False
    return part


def prepare_stem(stem: Stem) -> Part:
    """Prepares a stem for the active implementation. Raises ValueError if it does not fit."""
    convolutions = (structs.Convolution * len(stem.convolutions))(
        *(_convolution(f"stem convolution {i}", step) for i, step in enumerate(stem.convolutions))
    )
    return _prepare(
        "stem",
        structs.Stem(stem.height, stem.width, len(convolutions), convolutions, _window(stem.pool)),
    )


def prepare_stage(stage: Stage) -> Part:
    """Prepares a stage for the active implementation. Raises ValueError if it does not fit."""
    layers = (structs.BinaryLayer * len(stage.layers))()
    for i, layer in enumerate(stage.layers):
        channels = layer.threshold.shape[0]
        layers[i] = structs.BinaryLayer(
            require(
                f"layer {i}: weight",
                layer.weight,
                np.uint32,
                (GROWTH, KERNEL, KERNEL, channels // 32),
            ),
            require(f"layer {i}: threshold", layer.threshold, np.float32, (channels,)),
            require(f"layer {i}: flip", layer.flip, np.uint32, (channels // 32,)),
            channels,
            layer.is_improvement,
        )
    size = (stage.channels_in, stage.height, stage.width)
    return _prepare("stage", structs.Stage(*size, GROWTH, stage.padding, len(layers), layers))


def prepare_transition(transition: Transition) -> Part:
    """Prepares a transition for the active implementation. Raises ValueError if it does not fit."""
    convolution = _convolution("transition convolution", transition.convolution)
    channels = convolution.channels_in
    return _prepare(
        "transition",
        structs.Transition(
            require("transition scale", transition.scale, np.float32, (channels,)),
            require("transition shift", transition.shift, np.float32, (channels,)),
            *(transition.height, transition.width),
            _window(transition.pool),
            transition.shuffle_groups,
            convolution,
        ),
    )


def prepare_head(head: Head) -> Part:
    """Prepares a head for the active implementation. Raises ValueError if it does not fit."""
    require("head weight", head.weight, head.weight.dtype, (None, None))
    address, int8 = _int8("head", head.weight, head.int8)
    classes, channels = head.weight.shape
    return _prepare(
        "head",
        structs.Head(
            require("head scale", head.scale, np.float32, (channels,)),
            require("head shift", head.shift, np.float32, (channels,)),
            address,
            require("head bias", head.bias, np.float32, (classes,)),
            *(channels, head.height, head.width, classes, int8),
        ),
    )


def describe_part(part: Part) -> PartInfo:
    """What a prepared layer group is. Raises ValueError for other bytes."""
    info = structs.PartInfo()
    address = require("part", part, np.uint8, (None,))
    check(load_library().bnn_part_describe(address, part.size, ctypes.byref(info)))
    return PartInfo(
        info.kind.decode(),
        info.implementation.decode(),
        (info.input[0], info.input[1], info.input[2]),
        (info.output[0], info.output[1], info.output[2]),
        info.workspace_bytes,
    )


def report_part(part: Part) -> list[dict[str, str]]:
    """Which kernel family runs each layer: [{"layer": ..., "kernel": ...}, ...]."""
    text = ctypes.create_string_buffer(128 * 1024)
    address = require("part", part, np.uint8, (None,))
    check(load_library().bnn_part_report(address, part.size, text, len(text)))
    report: list[dict[str, str]] = json.loads(text.value.decode())
    return report


def run_part(
    part: Part, x: Floats, workspace: Part | None = None, out: Floats | None = None
) -> Floats:
    """Runs a prepared layer group: x [n, c, h, w] -> [n, c, h, w], or [n, classes] after the head.

    workspace: from allocate(workspace_bytes), one per concurrent call; made here if None.
    out: written and returned; made here if None. x, out and workspace must not share memory.
    Raises ValueError.
    """
    info = describe_part(part)
    x_address = require("x", x, np.float32, (None, *info.input))
    shape = (x.shape[0], info.output[0]) if info.kind == "head" else (x.shape[0], *info.output)
    if workspace is None:
        workspace = allocate(info.workspace_bytes)
    if out is None:
        out = np.empty(shape, np.float32)
    out_address = require("out", out, np.float32, shape, writable=True)
    workspace_address = require("workspace", workspace, np.uint8, (None,), writable=True)
    require_apart(x=x, out=out, workspace=workspace)
    check(
        load_library().bnn_part_run(
            part.ctypes.data,
            part.size,
            x_address,
            x.shape[0],
            out_address,
            workspace_address,
            workspace.size,
        )
    )
    return out
