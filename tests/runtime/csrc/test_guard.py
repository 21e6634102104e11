"""No implementation touches memory beside its buffers: each ends, or starts, at an unreadable page.

A violation kills the process, so each implementation runs in a process of its own.
"""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")

SCRIPT = '''
import ctypes, mmap, os, sys
from dataclasses import replace
import numpy as np
from runtime.kernels import bitpack, library, structs
from runtime.kernels.parts import (
    BinaryLayer,
    Convolution,
    Head,
    Int8,
    Stage,
    Stem,
    Transition,
    Window,
)

libc = ctypes.CDLL(None, use_errno=True)
kept = []
implementation, edge = library.active(), sys.argv[1]

def guarded(size):
    """uint8 [size] between two pages that cannot be read, touching the one at the edge."""
    page = mmap.PAGESIZE
    pages = -(-max(size, 1) // page) * page
    memory = mmap.mmap(-1, page + pages + page)
    kept.append(memory)
    array = np.frombuffer(memory, np.uint8)
    for offset in (0, page + pages):
        guard = ctypes.c_void_p(array.ctypes.data + offset)
        if libc.mprotect(guard, ctypes.c_size_t(page), 0) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")
    start = page if edge == "front" else page + pages - size
    array[start : start + size] = 0xA5
    return array[start : start + size]

def place(array):
    copy = guarded(array.nbytes).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy

rng = np.random.default_rng(0)
words = lambda *shape: place(rng.integers(0, 2**32, shape, dtype=np.uint32))
floats = lambda *shape: place(rng.normal(size=shape).astype(np.float32))

def int8(layer):
    """With 8-bit weights in the place of the float ones."""
    weight = place(rng.integers(-127, 128, layer.weight.shape).astype(np.int8))
    return replace(layer, weight=weight, int8=Int8(abs(floats(len(weight))) + 0.1, 50.0))

for rows, channels in ((1, 32), (5, 96), (3, 160)):
    x, threshold, flip = floats(rows, channels), floats(channels), words(channels // 32)
    expected = bitpack.pack(x, threshold, flip)
    assert np.array_equal(library.pack(x, threshold, flip), expected)

def run(prepare, description, x):
    """The result between guards, the same as the one of generic."""
    part = place(prepare(description))
    info = library.describe_part(part)
    assert info.implementation == implementation
    shape = (len(x), info.output[0]) if info.kind == "head" else (len(x), *info.output)
    out = guarded(int(np.prod(shape)) * 4).view(np.float32).reshape(shape)
    library.run_part(part, x, guarded(info.workspace_bytes), out)
    library.select("generic")
    assert out.tobytes() == library.run_part(prepare(description), x).tobytes()
    library.select(implementation)
    return out

for height, width in ((1, 1), (3, 2), (5, 7), (4, 16)):
    x, weight = words(1, height, width, 3), words(5, 3, 3, 3)
    for padding in (-1, 0, 1):
        size = ctypes.c_size_t()
        result = guarded(height * width * 5 * 4)
        for workspace in (None, 0):
            if workspace == 0:
                workspace = guarded(size.value).ctypes.data
            assert library.load_library().bnn_conv3x3(
                x.ctypes.data, weight.ctypes.data, 1, height, width, 96, 5, padding,
                result.ctypes.data, workspace, ctypes.byref(size)) == 0
        expected = bitpack.conv3x3(x, weight, padding)
        assert np.array_equal(result.view(np.int32).reshape(expected.shape), expected)
    layers, channels = [], 96
    for improvement in (False, True, False):
        layers.append(BinaryLayer(words(64, 3, 3, channels // 32), floats(channels),
                                  words(channels // 32), improvement))
        channels += 0 if improvement else 64
    x = floats(1, 96, height, width)
    for padding in (-1, 0, 1):
        stage = Stage(96, height, width, padding, layers)
        expected = bitpack.run_stage(stage, x[0])
        assert np.array_equal(run(library.prepare_stage, stage, x)[0], expected)

os.environ["BNN_FORCE_KERNEL"] = "sliced"  # wherever the implementation permits it
for height, width in ((14, 14), (15, 16), (15, 1), (16, 16), (17, 33), (20, 20), (51, 9)):
    layers = [BinaryLayer(words(64, 3, 3, 1), floats(32), words(1), False),
              BinaryLayer(words(64, 3, 3, 3), floats(96), words(3), True)]
    for padding in (-1, 0, 1):
        run(library.prepare_stage, Stage(32, height, width, padding, layers),
            floats(1, 32, height, width))
del os.environ["BNN_FORCE_KERNEL"]

convolution = Convolution(floats(7, 3, 3, 3), floats(7), Window(3, 2, 1, 1), 1, True)
second = Convolution(floats(9, 7, 3, 3), floats(9), Window(3, 1, 1, 1))
third = Convolution(floats(3, 9, 5, 5), None, Window(5, 2, 4, 0), 1, True)
pools = (None, Window(2, 2), Window(3, 2, 1, 1), Window(3, 1, 0, 2), Window(4, 3, 3, 0))
for size in (5, 17, 33):
    maps = floats(2, 6, size, size)
    mix = Convolution(floats(5, 6, 1, 1), None, Window(1, 1))
    for steps in (
        [convolution],
        [convolution, second],
        [convolution, second, third],
        [convolution, int8(second), int8(third)],
    ):
        # The last map of 5 x 5 is as small as 3 x 3 (2 x 2 after the third step).
        for pool in pools[: 3 if size == 5 else 5]:
            stem = Stem(size, size, steps, pool)
            assert np.isfinite(run(library.prepare_stem, stem, floats(2, 3, size, size))).all()
    for pool in pools:
        for layer in (mix, int8(mix)):
            transition = Transition(floats(6), floats(6), size, size, pool, 2, layer)
            assert np.isfinite(run(library.prepare_transition, transition, maps)).all()
    head = Head(floats(6), floats(6), floats(67, 6), floats(67), size, size)
    for layer in (head, int8(head)):
        assert np.isfinite(run(library.prepare_head, layer, maps)).all()
shapes = ((70, 40, 4), (40, 70, 4), (40, 70, 1), (2, 9, 4), (2, 9, 1), (9, 2, 4))
for width, height, pixel_bytes in shapes:
    pixels = place(rng.integers(0, 256, (height, width, pixel_bytes), dtype=np.uint8))
    levels = floats(3, 256)
    for filter in range(3):
        view = structs.View(pixels.ctypes.data, width * pixel_bytes, width, height, pixel_bytes,
                            filter, 1, (ctypes.c_float * 4)(0, 0, width, height))
        for side in (1, 7, 20):
            results = []
            for name in ("generic", implementation):
                library.select(name)
                size, out = ctypes.c_size_t(), guarded(3 * side * side * 4)
                resize = library.load_library().bnn_resize
                for workspace in (None, 0):
                    if workspace == 0:
                        workspace = ctypes.c_void_p(guarded(size.value).ctypes.data)
                    assert resize(ctypes.byref(view), ctypes.c_void_p(levels.ctypes.data), side,
                                  ctypes.c_void_p(out.ctypes.data), workspace,
                                  ctypes.byref(size)) == 0
                results.append(out.tobytes())
            assert results[0] == results[1]
print("intact", library.active())
'''


@pytest.mark.parametrize("edge", ["front", "end"])
def test_buffers_beside_guard_pages(implementation, edge):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, edge],
        env=os.environ | {"BNN_FORCE_IMPLEMENTATION": implementation},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, f"exit code {result.returncode}\n{result.stderr}"
    assert result.stdout.split() == ["intact", implementation]
