"""runtime.tensor_file: what the safetensors package writes is read; what is malformed is named."""

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from runtime import errors
from runtime.tensor_file import MAX_HEADER_BYTES, read_tensors
from tests.runtime.manifests import TENSORS


def test_tensors_equal_those_of_the_safetensors_package(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "weights")
    found, expected = read_tensors(tmp_path / "weights"), load_file(tmp_path / "weights")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert np.array_equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype
        assert not found[name].flags.writeable


def safetensors(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


def entry(dtype: str, shape: Any, offsets: Any) -> bytes:
    return json.dumps({"t": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", errors.TruncatedFile),
        (b"1234", errors.TruncatedFile),
        (safetensors(b"{}", length=2**60), errors.OversizedHeader),
        (safetensors(b"{}", length=MAX_HEADER_BYTES + 1), errors.OversizedHeader),
        (safetensors(b"{}", length=3), errors.TruncatedFile),
        (safetensors(b"{x"), errors.InvalidRecord),
        (safetensors(b"[]"), errors.InvalidRecord),
        (safetensors(b'{"t": 1}'), errors.InvalidRecord),
        (safetensors(entry("F32", [2], [0, 8]), b"1234"), errors.TruncatedFile),
        (safetensors(entry("F32", [2], [0, 4]), b"12345678"), errors.InvalidRecord),
        (safetensors(entry("F32", [2], [1, 9]), b"123456789"), errors.InvalidRecord),
        (safetensors(entry("F32", [-1], [0, 4]), b"1234"), errors.InvalidRecord),
        (safetensors(entry("F32", [2**40, 2**40], [0, 4]), b"1234"), errors.InvalidRecord),
        (safetensors(entry("F32", [1], [4, 0]), b"12345678"), errors.InvalidRecord),
        (safetensors(entry("F32", "4", [0, 4]), b"1234"), errors.InvalidRecord),
        (safetensors(entry("F32", [0, 10**30], [0, 0])), errors.InvalidRecord),
        (safetensors(entry("F32", [0, 2**62, 4], [0, 0])), errors.InvalidRecord),
        (safetensors(entry("F32", [1] * 70, [0, 4]), b"1234"), errors.InvalidRecord),
        (safetensors(entry("I64", [1], [0, 8]), b"12345678"), errors.InvalidRecord),
    ],
)
def test_malformed_weight_files(
    tmp_path: Path, content: bytes, error: type[errors.BundleError]
) -> None:
    (tmp_path / "weights").write_bytes(content)
    with pytest.raises(error):
        read_tensors(tmp_path / "weights")


def test_missing_weight_file(tmp_path: Path) -> None:
    with pytest.raises(errors.MissingFile):
        read_tensors(tmp_path / "weights")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


@given(header=JSON, tail=st.binary(max_size=40))
def test_any_header_is_read_or_refused_by_name(header: Any, tail: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights"
        path.write_bytes(safetensors(json.dumps({"t": header}).encode(), tail))
        with contextlib.suppress(errors.BundleError):
            read_tensors(path)
