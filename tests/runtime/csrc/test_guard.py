"""No implementation touches memory beside its buffers: each one ends at a page that cannot be read.

A violation kills the process, so each implementation runs in a process of its own.
"""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect")

SCRIPT = '''
import ctypes, mmap, sys
import numpy as np
from runtime import bitpack, library
from runtime.parts import BinaryLayer, Convolution, Head, Stage, Stem, Transition, Window

libc = ctypes.CDLL(None, use_errno=True)
kept = []

def guarded(size):
    """uint8 [size] whose end is the end of the readable memory."""
    pages = -(-max(size, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, pages + mmap.PAGESIZE)
    kept.append(memory)
    array = np.frombuffer(memory, np.uint8)
    last = ctypes.c_void_p(array.ctypes.data + pages)
    if libc.mprotect(last, ctypes.c_size_t(mmap.PAGESIZE), 0) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    return array[pages - size : pages]

def place(array):
    copy = guarded(array.nbytes).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy

rng = np.random.default_rng(0)
words = lambda *shape: place(rng.integers(0, 2**32, shape, dtype=np.uint32))
floats = lambda *shape: place(rng.normal(size=shape).astype(np.float32))

for rows, channels in ((1, 32), (5, 96), (3, 160)):
    x, threshold, flip = floats(rows, channels), floats(channels), words(channels // 32)
    expected = bitpack.pack(x, threshold, flip)
    assert np.array_equal(library.pack(x, threshold, flip), expected)

def run(part, x):
    part = place(part)
    info = library.describe_part(part)
    shape = (len(x), info.output[0]) if info.kind == "head" else (len(x), *info.output)
    out = guarded(int(np.prod(shape)) * 4).view(np.float32).reshape(shape)
    return library.run_part(part, x, guarded(info.workspace_bytes), out)

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
    stage = Stage(96, height, width, -1, layers)
    x = floats(1, 96, height, width)
    assert np.array_equal(run(library.prepare_stage(stage), x)[0], bitpack.run_stage(stage, x[0]))

convolution = Convolution(floats(7, 3, 3, 3), floats(7), Window(3, 2, 1, 1), 1, True)
second = Convolution(floats(9, 7, 3, 3), floats(9), Window(3, 1, 1, 1))
for size in (5, 17, 33):
    stem = Stem(size, size, [convolution, second], Window(3, 2, 1, 1))
    assert np.isfinite(run(library.prepare_stem(stem), floats(2, 3, size, size))).all()
    mix = Convolution(floats(5, 6, 1, 1), None, Window(1, 1))
    transition = Transition(floats(6), floats(6), size, size, Window(2, 2), 2, mix)
    assert np.isfinite(run(library.prepare_transition(transition), floats(2, 6, size, size))).all()
    head = Head(floats(6), floats(6), floats(67, 6), floats(67), size, size)
    assert np.isfinite(run(library.prepare_head(head), floats(2, 6, size, size))).all()
print("intact", library.active())
'''


def test_buffers_that_end_at_a_guard_page(implementation):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"BNN_FORCE_IMPLEMENTATION": implementation},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, f"exit code {result.returncode}\n{result.stderr}"
    assert result.stdout.split() == ["intact", implementation]
