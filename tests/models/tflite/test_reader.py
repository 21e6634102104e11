"""models.tflite.reader: every field of a file, and every way in which a file can be wrong."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tflite
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.tflite.network import (
    AveragePool,
    Convolution,
    FeatureMap,
    InvalidTflite,
    Quantization,
    TfliteError,
    UnsupportedTflite,
)
from models.tflite.reader import read_tflite
from tests.models.tflite_files import (
    CLASSES,
    SIDE,
    Operator,
    TfliteFile,
    add_convolution,
    make_file,
)

RELU6 = Quantization(float(np.float32(6 / 255)), 0)


def test_every_field_is_read(rng: np.random.Generator, tmp_path: Path) -> None:
    file = make_file(rng)
    part = read_tflite(file.write(tmp_path / "net.tflite"))
    assert part.name == "net.tflite"
    assert part.input == FeatureMap((SIDE, SIDE, 3), Quantization(1 / 128, 128))
    first, depthwise, pointwise, pool, last = part.layers
    assert isinstance(first, Convolution)
    assert first.output == FeatureMap((5, 5, 8), RELU6)
    assert (first.strides, first.groups, first.relu6) == ((2, 2), 1, True)
    weight = file.tensors[file.operators[0].inputs[1]]
    assert first.weight.transpose(0, 2, 3, 1).tobytes() == weight.data
    assert first.weight_quantization == Quantization(weight.scale[0], 120)
    bias = file.tensors[file.operators[0].inputs[2]]
    assert first.bias.tobytes() == bias.data
    assert first.bias_scale == bias.scale[0]
    assert isinstance(depthwise, Convolution)
    weight = file.tensors[file.operators[1].inputs[1]]
    assert depthwise.weight.shape == (8, 1, 3, 3)
    assert depthwise.weight.transpose(1, 2, 3, 0).tobytes() == weight.data
    assert (depthwise.strides, depthwise.groups) == ((2, 2), 8)
    assert isinstance(pointwise, Convolution)
    assert pointwise.weight.shape == (6, 8, 1, 1)
    assert pool == AveragePool(FeatureMap((3, 3, 6), RELU6), FeatureMap((1, 1, 6), RELU6))
    assert isinstance(last, Convolution)
    assert not last.relu6
    assert part.output == FeatureMap((1, 1, CLASSES), Quantization(float(np.float32(0.05)), 100))


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "padding"),
    [
        (8, 3, 2, (0, 0, 1, 1)),  # the odd pixel at the bottom and at the right
        (9, 3, 2, (1, 1, 1, 1)),
        (9, 3, 1, (1, 1, 1, 1)),
        (8, 1, 2, (0, 0, 0, 0)),
        (7, 5, 3, (2, 2, 2, 2)),
        (9, 2, 1, (0, 0, 1, 1)),
    ],
)
def test_same_padding(
    rng: np.random.Generator,
    tmp_path: Path,
    side: int,
    kernel: int,
    stride: int,
    padding: tuple[int, ...],
) -> None:
    file = TfliteFile()
    source = file.add((1, side, side, 2))
    add_convolution(file, rng, source, kernel, stride, 3, depthwise=False)
    (layer,) = read_tflite(file.write(tmp_path / "net")).layers
    assert isinstance(layer, Convolution)
    assert layer.padding == padding


def test_valid_padding(rng: np.random.Generator, tmp_path: Path) -> None:
    file = TfliteFile()
    target = add_convolution(file, rng, file.add((1, 8, 8, 2)), 3, 2, 3, depthwise=False)
    file.operators[0].options["Padding"] = tflite.Padding.VALID
    file.tensors[target].shape = (1, 3, 3, 3)
    (layer,) = read_tflite(file.write(tmp_path / "net")).layers
    assert isinstance(layer, Convolution)
    assert layer.padding == (0, 0, 0, 0)


def change_tensor(operator: int, position: int, **fields: object) -> Callable[[TfliteFile], None]:
    """Changes what an operator reads; position -1: what it writes."""

    def change(file: TfliteFile) -> None:
        found = file.operators[operator]
        index = found.output if position < 0 else found.inputs[position]
        for name, value in fields.items():
            setattr(file.tensors[index], name, value)

    return change


def change_option(operator: int, **options: object) -> Callable[[TfliteFile], None]:
    return lambda file: file.operators[operator].options.update(options)


def change_operator(operator: int, **fields: object) -> Callable[[TfliteFile], None]:
    return lambda file: file.operators[operator].__dict__.update(fields)


def change_file(**fields: object) -> Callable[[TfliteFile], None]:
    return lambda file: file.__dict__.update(fields)


TANH = tflite.ActivationFunctionType.TANH


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (change_file(subgraphs=2), UnsupportedTflite, "expected one subgraph; found 2"),
        (change_file(inputs=(0, 1)), UnsupportedTflite, "one input and one output; found 2 and 1"),
        (change_file(outputs=(0,)), UnsupportedTflite, "last operator to write the output"),
        (change_operator(2, name="ADD"), UnsupportedTflite, "found operator 2, ADD"),
        (change_operator(2, name="CUSTOM"), UnsupportedTflite, "found operator 2, CUSTOM"),
        (change_operator(1, inputs=[0, 5, 6]), UnsupportedTflite, "found a branch"),
        (change_operator(1, inputs=[99, 5, 6]), UnsupportedTflite, "found a branch"),
        (change_operator(0, inputs=[0, 99, 2]), InvalidTflite, "IndexError: 99 of"),
        (change_operator(0, inputs=[0, -1, 2]), InvalidTflite, "IndexError: -1 of"),
        (change_operator(0, inputs=[0, 1]), InvalidTflite, "ValueError"),
        (change_tensor(0, 0, type="FLOAT32"), UnsupportedTflite, "UINT8 tensors; found FLOAT32"),
        (change_tensor(0, 1, type="INT8"), UnsupportedTflite, "UINT8 tensors; found INT8"),
        (change_tensor(0, 2, type="INT64"), UnsupportedTflite, "INT32 tensors; found INT64"),
        (change_tensor(0, 0, shape=(2, 9, 9, 3)), UnsupportedTflite, r"maps \[1, height"),
        (change_tensor(0, 0, shape=(1, 9, -9, 3)), UnsupportedTflite, r"maps \[1, height"),
        (change_tensor(0, 0, shape=(9, 9, 3)), UnsupportedTflite, r"maps \[1, height"),
        (change_tensor(0, 1, scale=(1.0, 2.0)), UnsupportedTflite, "one scale.*found 2 scales"),
        (change_tensor(0, 1, scale=()), UnsupportedTflite, "one scale.*found 0 scales"),
        (change_tensor(0, 1, scale=(float("nan"),)), InvalidTflite, "scale above 0"),
        (change_tensor(0, 1, scale=(-1.0,)), InvalidTflite, "scale above 0.*found -1"),
        (change_tensor(0, 1, zero_point=(256,)), InvalidTflite, "0 to 255; found .* and 256"),
        (change_tensor(0, 1, data=b"short"), InvalidTflite, "found 5"),
        (change_tensor(0, 1, data=None), InvalidTflite, "found none"),
        (change_tensor(0, 1, shape=(4, 6, 3, 3)), InvalidTflite, "expected weights and biases"),
        (change_tensor(0, 1, shape=(1, 216)), InvalidTflite, "ValueError"),
        (change_tensor(0, 2, scale=(1.0,)), InvalidTflite, "expected biases of scale"),
        (change_tensor(0, 2, zero_point=(1,)), InvalidTflite, "expected biases of scale"),
        (change_tensor(0, -1, shape=(1, 4, 5, 8)), InvalidTflite, "expected a map of"),
        (change_option(0, DilationWFactor=2), UnsupportedTflite, "without dilation"),
        (change_option(0, FusedActivationFunction=TANH), UnsupportedTflite, "found TANH"),
        (change_option(0, StrideH=0), InvalidTflite, "strides of at least 1"),
        (change_option(0, StrideH=-2), InvalidTflite, "strides of at least 1"),
        (change_option(3, FilterHeight=2), UnsupportedTflite, "over all of"),
        (change_option(3, FusedActivationFunction=TANH), UnsupportedTflite, "without activation"),
        (change_tensor(3, -1, zero_point=(1,)), InvalidTflite, "one quantisation"),
        (change_tensor(5, -1, shape=(CLASSES, 1)), UnsupportedTflite, "one pixel's channels"),
        (change_tensor(5, -1, scale=(1.0,)), InvalidTflite, "one quantisation"),
        (change_option(6, Beta=2.0), UnsupportedTflite, "found beta 2"),
    ],
)
def test_faults_have_their_own_errors(
    rng: np.random.Generator,
    tmp_path: Path,
    change: Callable[[TfliteFile], None],
    error: type[TfliteError],
    message: str,
) -> None:
    file = make_file(rng)
    change(file)
    with pytest.raises(error, match=message) as raised:
        read_tflite(file.write(tmp_path / "net.tflite"))
    assert str(tmp_path / "net.tflite") in str(raised.value)


def test_network_without_convolution_is_refused(tmp_path: Path) -> None:
    file = TfliteFile([], [])
    ends = file.add((1, 2)), file.add((1, 2))
    file.operators.append(Operator("SOFTMAX", [ends[0]], ends[1], {"Beta": 1.0}))
    with pytest.raises(UnsupportedTflite, match="expected a convolution"):
        read_tflite(file.write(tmp_path / "net"))


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x89PNG\r\n\x1a\n", b"PK\3\4" * 9])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InvalidTflite, match=r"expected a \.tflite file, which has TFL3 at byte 4"):
        read_tflite(tmp_path / "file")


def test_huge_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as stream:
        stream.truncate(2**28 + 1)
    with pytest.raises(UnsupportedTflite, match="at most 268435456 bytes"):
        read_tflite(tmp_path / "file")


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_tflite(tmp_path / "none.tflite")


WHOLE = make_file(np.random.default_rng(0)).to_bytes()


def read_bytes(folder: Path, content: bytes) -> None:
    """Either reads, or raises what is documented."""
    (folder / "net").write_bytes(content)
    with suppress(TfliteError):
        read_tflite(folder / "net")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(WHOLE) - 1))
def test_truncated_files_never_crash(tmp_path: Path, length: int) -> None:
    read_bytes(tmp_path, WHOLE[:length])


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(8, len(WHOLE) - 1),
            st.sampled_from([0, 1, 4, 127, 128, 255]) | st.integers(0, 255),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_changed_bytes_never_crash(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    content = bytearray(WHOLE)
    for position, value in changes:
        content[position] = value
    read_bytes(tmp_path, bytes(content))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400))
def test_random_bytes_never_crash(tmp_path: Path, content: bytes) -> None:
    read_bytes(tmp_path, b"\x10\0\0\0TFL3" + content)
