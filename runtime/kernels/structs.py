"""The structs of the kernel library's C ABI (csrc/bnn.h) for ctypes, fields in its order."""

import ctypes

_I32, _POINTER = ctypes.c_int32, ctypes.c_void_p


class Implementation(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("features", ctypes.c_char_p), ("supported", _I32))


class Window(ctypes.Structure):
    _fields_ = tuple((name, _I32) for name in ("kernel", "stride", "before", "after"))


class BinaryLayer(ctypes.Structure):
    _fields_ = (
        *((name, _POINTER) for name in ("weight", "threshold", "flip")),
        *((name, _I32) for name in ("channels", "is_improvement")),
    )


class Stage(ctypes.Structure):
    _fields_ = (
        *((name, _I32) for name in ("channels_in", "height", "width")),
        *((name, _I32) for name in ("growth", "padding", "layer_count")),
        ("layers", ctypes.POINTER(BinaryLayer)),
    )


class Int8(ctypes.Structure):
    _fields_ = (("weight", _POINTER), ("scale", _POINTER), ("inverse_step", ctypes.c_float))


class Convolution(ctypes.Structure):
    _fields_ = (
        *((name, _POINTER) for name in ("weight", "bias")),
        *((name, _I32) for name in ("channels_in", "channels_out", "groups")),
        ("window", Window),
        ("relu", _I32),
        ("int8", ctypes.POINTER(Int8)),
    )


class Stem(ctypes.Structure):
    _fields_ = (
        *((name, _I32) for name in ("height", "width", "convolution_count")),
        ("convolutions", ctypes.POINTER(Convolution)),
        ("pool", Window),
    )


class Transition(ctypes.Structure):
    _fields_ = (
        *((name, _POINTER) for name in ("scale", "shift")),
        *((name, _I32) for name in ("height", "width")),
        ("pool", Window),
        ("shuffle_groups", _I32),
        ("convolution", Convolution),
    )


class Head(ctypes.Structure):
    _fields_ = (
        *((name, _POINTER) for name in ("scale", "shift", "weight", "bias")),
        *((name, _I32) for name in ("channels_in", "height", "width", "classes")),
        ("int8", ctypes.POINTER(Int8)),
    )


class PartInfo(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_char_p),
        ("implementation", ctypes.c_char_p),
        ("input", _I32 * 3),
        ("output", _I32 * 3),
        ("workspace_bytes", ctypes.c_size_t),
    )


class View(ctypes.Structure):
    _fields_ = (
        ("pixels", _POINTER),
        ("row_bytes", ctypes.c_int64),
        *((name, _I32) for name in ("width", "height", "pixel_bytes", "filter", "orientation")),
        ("box", ctypes.c_float * 4),
    )
