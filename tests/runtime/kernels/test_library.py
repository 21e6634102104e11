"""Loading the kernel library, and the checks around its C ABI."""

import subprocess
import sys

import numpy as np
import pytest

from runtime.errors import NativeUnavailable
from runtime.kernels import library
from runtime.kernels.parts import (
    BinaryLayer,
    Convolution,
    Int8,
    Stage,
    Stem,
    Transition,
    Window,
)

NAME = f"libbnn{library.SUFFIX}"


def tiny_stage() -> Stage:
    layer = BinaryLayer(
        np.zeros((64, 3, 3, 1), np.uint32), np.zeros(32, np.float32), np.zeros(1, np.uint32), False
    )
    return Stage(32, 4, 4, -1, [layer])


# ---- loading ---------------------------------------------------------------------------------


def test_loading_imports_neither_torch_nor_onnxruntime():
    command = (
        "import sys; from runtime.kernels import library; library.active();"
        "print({'torch', 'onnxruntime', 'fastapi'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


@pytest.fixture
def found(monkeypatch, tmp_path):
    """The file that the lookup finds: not there yet."""
    monkeypatch.setattr(library, "find_file", lambda name: tmp_path / name)
    return tmp_path / NAME


@pytest.fixture
def fresh_load():
    """Loads again, and forgets what was loaded afterwards."""
    library.load_library.cache_clear()
    yield
    library.load_library.cache_clear()


def test_a_broken_library_is_named(found, fresh_load):
    found.write_bytes(b"not a library")
    with pytest.raises(NativeUnavailable, match="does not load") as caught:
        library.load_library()
    assert str(found) in str(caught.value)


def test_another_abi_is_refused(fresh_load, monkeypatch):
    monkeypatch.setattr(library, "ABI", 99)
    with pytest.raises(
        NativeUnavailable, match="expected a kernel library with ABI 99, found ABI 4"
    ):
        library.load_library()


# ---- arrays ----------------------------------------------------------------------------------


def test_arrays_of_another_type_are_refused():
    with pytest.raises(
        ValueError, match=r"x: expected a contiguous float32 array .* found .* float64"
    ):
        library.pack(np.zeros((2, 32)))


def test_arrays_that_are_not_contiguous_are_refused():
    with pytest.raises(ValueError, match="found not contiguous float32"):
        library.pack(np.zeros((2, 64), np.float32)[:, ::2])


def test_arrays_of_another_shape_are_refused():
    words = np.zeros((1, 2, 2, 1), np.uint32)
    with pytest.raises(ValueError, match=r"weight: .*\[any, 3, 3, 1\], found .*\[1, 3, 3, 2\]"):
        library.conv3x3(words, np.zeros((1, 3, 3, 2), np.uint32))
    with pytest.raises(ValueError, match=r"x: .*\[any, any, any, any\]"):
        library.conv3x3(words[0], np.zeros((1, 3, 3, 1), np.uint32))


def test_pack_takes_any_leading_dimensions():
    assert library.pack(np.ones((2, 3, 4, 64), np.float32)).shape == (2, 3, 4, 2)
    assert library.pack(np.ones((0, 64), np.float32)).shape == (0, 2)


def test_pack_refuses_odd_channels():
    with pytest.raises(ValueError, match="channels: expected a multiple of 32, found 40"):
        library.pack(np.ones((2, 40), np.float32))


def test_weights_of_another_shape_than_the_window_are_refused():
    convolution = Convolution(np.zeros((4, 3, 5, 5), np.float32), None, Window(3, 1, 1, 1))
    with pytest.raises(ValueError, match="stem convolution 0: weight"):
        library.prepare_stem(Stem(8, 8, [convolution]))


# ---- prepared parts --------------------------------------------------------------------------


def test_prepared_parts_are_aligned_and_read_only():
    part = library.prepare_stage(tiny_stage())
    assert part.ctypes.data % library.ALIGNMENT == 0
    assert part.dtype == np.uint8
    assert not part.flags.writeable


def test_describe_part():
    info = library.describe_part(library.prepare_stage(tiny_stage()))
    assert (info.kind, info.implementation) == ("stage", library.active())
    assert (info.input, info.output) == ((32, 4, 4), (96, 4, 4))
    assert info.workspace_bytes > 0


def test_caller_owned_buffers_are_used():
    part = library.prepare_stage(tiny_stage())
    workspace = library.allocate(library.describe_part(part).workspace_bytes)
    out = np.empty((2, 96, 4, 4), np.float32)
    x = np.zeros((2, 32, 4, 4), np.float32)
    assert library.run_part(part, x, workspace, out) is out
    assert np.array_equal(out, library.run_part(part, x))


def test_read_only_buffers_are_refused():
    part = library.prepare_stage(tiny_stage())
    x = np.zeros((1, 32, 4, 4), np.float32)
    x.flags.writeable = False
    workspace = library.allocate(library.describe_part(part).workspace_bytes)
    out = np.empty((1, 96, 4, 4), np.float32)
    library.run_part(part, x, workspace, out)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out: expected a writable array, found a read-only one"):
        library.run_part(part, x, workspace, out)
    workspace.flags.writeable = False
    with pytest.raises(ValueError, match="workspace: expected a writable array"):
        library.run_part(part, x, workspace)


def test_buffers_that_overlap_are_refused():
    part = library.prepare_stage(tiny_stage())
    memory = library.allocate(1 << 20)
    floats = memory.view(np.float32)
    x = floats[: 32 * 16].reshape(1, 32, 4, 4)
    out = floats[16 : 16 + 96 * 16].reshape(1, 96, 4, 4)
    with pytest.raises(ValueError, match="out: expected memory of its own, found some that x uses"):
        library.run_part(part, x, out=out)
    with pytest.raises(ValueError, match=r"workspace: expected memory of its own, found .* out"):
        library.run_part(part, x.copy(), memory, out)
    apart = floats[32 * 16 : (32 + 96) * 16].reshape(1, 96, 4, 4)
    assert library.run_part(part, x, out=apart) is apart


def test_the_workspace_may_hold_anything():
    part = library.prepare_stage(tiny_stage())
    x = np.ones((1, 32, 4, 4), np.float32)
    results = []
    for value in (0, 255):
        workspace = library.allocate(library.describe_part(part).workspace_bytes)
        workspace[:] = value
        results.append(library.run_part(part, x, workspace))
    assert np.array_equal(*results)


def changed(part: np.ndarray, position: int, value: int) -> np.ndarray:
    copy = library.allocate(part.size)
    copy[:] = part
    copy[position] = value
    return copy


def test_other_bytes_are_no_part():
    part = library.prepare_stage(tiny_stage())
    for position in (0, 7, 8, 12):  # magic, ABI, kind
        with pytest.raises(ValueError, match="these bytes are no part that ABI 4 prepared"):
            library.describe_part(changed(part, position, 0xEE))
    with pytest.raises(ValueError, match="cannot run; prepare it here"):
        library.describe_part(changed(part, 16, ord("z")))  # the implementation's name
    blank = library.allocate(256)
    blank[:] = 0
    with pytest.raises(ValueError, match="no part"):
        library.describe_part(blank)


def of_stage(part: np.ndarray) -> int:
    """Where the stage's first layer is: the position of its record's `layers`, read."""
    return int.from_bytes(part[112:120].tobytes(), "little")


def test_damaged_records_are_refused():
    stage = library.prepare_stage(tiny_stage())
    convolution = Convolution(np.ones((2, 3, 1, 1), np.float32), None, Window(1, 1))
    stem = library.prepare_stem(Stem(4, 4, [convolution]))
    levels = Convolution(
        np.ones((2, 3, 1, 1), np.int8), None, Window(1, 1), int8=Int8(np.ones(2, np.float32), 1.0)
    )
    ones = np.ones(3, np.float32)
    transition = library.prepare_transition(Transition(ones, ones, 4, 4, None, 1, levels))
    winograd = Convolution(np.ones((2, 3, 3, 3), np.float32), None, Window(3, 1, 1, 1))
    pooled = library.prepare_stem(Stem(4, 4, [winograd], Window(3, 2, 1, 1)))
    x = np.zeros((1, 32, 4, 4), np.float32)
    for part, position, value, fault in (
        (stage, 33, 0, "size"),  # of the header: smaller than the record
        (stage, 12, 4, "shape"),  # its kind: a head
        (stage, 12, 1, "number of convolutions"),
        (stage, 41, 0, "workspace"),
        (stage, 55, 1, "workspace"),  # of a member: beyond what sums can hold
        (stage, 57, 1, "shape"),  # of the input
        (stage, 69, 1, "shape"),  # of the output
        (stage, 96, 200, "offset"),  # layers that are not there
        (stage, 112, 1, "offset"),
        (stage, 119, 255, "offset"),
        (stage, of_stage(stage) + 4, 1, "shape"),  # blocks it reads
        (stage, of_stage(stage) + 16, 99, "kernel family"),
        (stage, of_stage(stage) + 55, 128, "offset"),  # of the weights
        (stem, 80, 9, "number of convolutions"),
        (stem, 92, 32, "pool"),
        (stem, 118, 1, "workspace"),
        (transition, 168 + 8, 0, "shape"),  # groups, which channels are divided by
        (transition, 168 + 52, 0, "packing"),  # channels of a cell, too
        *((pooled, position, 1, "workspace") for position in (134, 142, 150)),
        (stem, 152 + 44, 3, "packing"),
    ):
        damaged = changed(part, position, value)
        if fault == "size":
            damaged[32:40] = [128, 0, 0, 0, 0, 0, 0, 0]
        with pytest.raises(ValueError, match=f"found an impossible {fault} in its record; prep"):
            library.describe_part(damaged)
        with pytest.raises(ValueError, match="expected a part as"):
            library.report_part(damaged)
        with pytest.raises(ValueError, match="expected a part as"):
            library.run_part(damaged, x)


def test_truncated_parts_are_refused():
    part = library.prepare_stage(tiny_stage())
    x = np.zeros((1, 32, 4, 4), np.float32)
    with pytest.raises(ValueError, match=f"the part has {part.size} bytes, found {part.size - 1}"):
        library.run_part(part[:-1], x)
    with pytest.raises(ValueError, match="expected a part of at least"):
        library.describe_part(part[:8])


def test_misaligned_parts_and_workspaces_are_refused():
    part = library.prepare_stage(tiny_stage())
    buffer = library.allocate(part.size + 64)[8 : 8 + part.size]
    buffer[:] = part
    with pytest.raises(ValueError, match="expected a part aligned to 64 bytes"):
        library.describe_part(buffer)
    x = np.zeros((1, 32, 4, 4), np.float32)
    workspace = library.allocate(library.describe_part(part).workspace_bytes + 64)
    with pytest.raises(ValueError, match="expected a workspace aligned to 64 bytes"):
        library.run_part(part, x, workspace[8:])


def test_short_workspaces_are_refused():
    part = library.prepare_stage(tiny_stage())
    with pytest.raises(ValueError, match=r"expected a workspace of .* bytes, found 64"):
        library.run_part(part, np.zeros((1, 32, 4, 4), np.float32), library.allocate(64))


def test_inputs_and_outputs_of_another_shape_are_refused():
    part = library.prepare_stage(tiny_stage())
    with pytest.raises(ValueError, match=r"x: .*\[any, 32, 4, 4\], found .*\[1, 32, 4, 5\]"):
        library.run_part(part, np.zeros((1, 32, 4, 5), np.float32))
    with pytest.raises(ValueError, match=r"out: .*\[1, 96, 4, 4\]"):
        library.run_part(
            part, np.zeros((1, 32, 4, 4), np.float32), out=np.zeros((1, 64, 4, 4), np.float32)
        )


def test_missing_pointers_are_refused():
    kernels = library.load_library()
    for name, count in (
        ("bnn_stem_prepare", 3),
        ("bnn_stage_prepare", 3),
        ("bnn_transition_prepare", 3),
        ("bnn_head_prepare", 3),
        ("bnn_implementations", 2),
    ):
        assert getattr(kernels, name)(*[None] * count) == 1
        assert "found NULL" in kernels.bnn_error().decode()
    part = library.prepare_stage(tiny_stage())
    assert kernels.bnn_part_describe(part.ctypes.data, part.size, None) == 1
    assert kernels.bnn_part_report(part.ctypes.data, part.size, None, 0) == 1
    assert kernels.bnn_part_run(part.ctypes.data, part.size, None, 1, None, None, 0) == 1
    assert kernels.bnn_pack(None, None, None, 1, 32, None) == 1


def test_implementations_are_those_that_are_named(repository):
    """This build has some of them, in their order; the sources have all."""
    found = [entry.name for entry in library.implementations()]
    assert found == [name for name in library.IMPLEMENTATIONS if name in found]
    assert found[-1] == library.IMPLEMENTATIONS[-1] == "generic"
    sources = [path.read_text() for path in (repository / "runtime" / "csrc").rglob("*.cpp")]
    for name in library.IMPLEMENTATIONS:
        assert any(f'"{name}"' in text for text in sources), name
