"""The report on kernels: one row each, with a share where there is a limit."""

import pytest

from runtime.bench import kernels
from runtime.bench.counts import BinaryShape
from runtime.bench.kernels import FLOAT_LAYERS, INT8_LAYERS, format_kernels, measure_kernels
from runtime.bench.limits import LimitMeter


def test_each_kernel_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "BINARY_SHAPES", (BinaryShape(32, 4, 4),))
    small = [(*layer[:-1], 8) for layer in FLOAT_LAYERS]
    monkeypatch.setattr(kernels, "FLOAT_LAYERS", small)
    said: list[str] = []
    entries = measure_kernels(LimitMeter(), 2, said.append)
    names = [entry["kernel"] for entry in entries]
    assert names[0] == "popcount convolution"
    assert sum("float convolution" in name for name in names) == len(FLOAT_LAYERS)
    int8 = [layer for layer in FLOAT_LAYERS if layer[0] in INT8_LAYERS]
    assert sum("8-bit convolution" in name for name in names) == len(int8) > 0
    assert names[-1] == "compare and pack floats"
    for entry in entries:
        assert entry["rate_g"] > 0
        assert (entry["share"] is None) == (entry is entries[-1])
    assert len(said) == len(FLOAT_LAYERS) + 2
    printed = format_kernels(entries, [])
    assert "kernels, batch 1, threads 1, not pinned" in printed
    assert "8x8x3 to 32" in printed
