"""The only importer of ONNX Runtime: opens its sessions, exact on every CPU, without telemetry."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import numpy as np

from runtime.errors import OnnxUnavailable
from runtime.kernels.installed import advise_extra, is_absent

# Read when onnxruntime is imported. Without it ONNX Runtime 1.32 on Linux writes a device id and a
# database of events under $HOME/.cache, says so on standard error where it can't, and looks up its
# vendor's collector to send them to. Its disable_telemetry_events() comes too late.
TELEMETRY = "ORT_DISABLE_TELEMETRY"
EXACT_PRODUCTS = "session.x64quantprecision"
# Else a session's threads look for work in a loop for some 40 ms after each run: the README beside
# this has the price. There is no pool between operators; its entry says the same anyway.
NO_SPINNING = {"session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0"}
ERRORS_ONLY = 3  # the rest goes to standard error unasked

# The graph c = MatMulInteger(a, b), a uint8 [8, 64], b int8 [64, 8], as onnx.helper writes it.
PRODUCT_GRAPH = (
    b'\x08\t\x12\x00:\\\n\x18\n\x01a\n\x01b\x12\x01c"\rMatMulInteger\x12\x01gZ\x13\n\x01a\x12\x0e\n\x0c'
    b"\x08\x02\x12\x08\n\x02\x08\x08\n\x02\x08@Z\x13\n\x01b\x12\x0e\n\x0c\x08\x03\x12\x08\n\x02\x08@\n\x02"
    b"\x08\x08b\x13\n\x01c\x12\x0e\n\x0c\x08\x06\x12\x08\n\x02\x08\x08\n\x02\x08\x08B\x04\n\x00\x10\x12"
)


def import_onnxruntime() -> Any:
    """The module onnxruntime, its telemetry switched off. Raises OnnxUnavailable."""
    os.environ[TELEMETRY] = "1"
    try:
        import onnxruntime
    except ImportError as error:
        raise OnnxUnavailable(
            f"expected the package onnxruntime, found {error}. Install it: {advise_extra('onnx')}",
            installed=not is_absent(error, "onnxruntime"),
        ) from error
    return onnxruntime


def import_quantizer() -> Any:
    """The module onnxruntime.quantization, which wants the package onnx. Raises OnnxUnavailable."""
    import_onnxruntime()
    try:
        import onnxruntime.quantization.shape_inference as shape_inference  # not of its own accord
        from onnxruntime import quantization
    except ImportError as error:
        raise OnnxUnavailable(
            f"expected the package onnx for the quantizer, found {error}. Install it: "
            f"{advise_extra('train')}",
            installed=not is_absent(error, "onnx"),
        ) from error
    assert quantization.shape_inference is shape_inference
    return quantization


def make_options(threads: int = 1) -> Any:
    """SessionOptions: `threads` threads that sleep when idle, one node after another, exact 8-bit
    products, quiet.

    Raises OnnxUnavailable.
    """
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    for key, value in NO_SPINNING.items():
        options.add_session_config_entry(key, value)
    if saturates():  # then int8 weights run as uint8: exact and slower; other graphs as before
        options.add_session_config_entry(EXACT_PRODUCTS, "1")
    options.log_severity_level = ERRORS_ONLY
    return options


def open_session(graph: str | bytes, options: Any = None) -> Any:
    """An InferenceSession on the CPU of a graph's path or bytes; options: make_options() if None.

    Raises OnnxUnavailable, naming why onnxruntime refuses the graph.
    """
    ort = import_onnxruntime()
    return _open(ort, graph, make_options() if options is None else options)


def _open(ort: Any, graph: str | bytes, options: Any) -> Any:
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exception classes have no common base
        name = graph if isinstance(graph, str) else "a graph in memory"
        raise OnnxUnavailable(
            f"{name}: onnxruntime {ort.__version__} refuses the graph: {error}"
        ) from error


@cache
def saturates() -> bool:
    """Whether ONNX Runtime's products of uint8 and int8 are wrong on this CPU by default.

    x86-64 without VNNI adds two products in 16 bits, where 2 x 255 x 127 does not fit. As we cannot
    know which kernel it uses, the largest product is tried. Raises OnnxUnavailable.
    """
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = _open(ort, PRODUCT_GRAPH, options)
    a, b = np.full((8, 64), 255, np.uint8), np.full((64, 8), 127, np.int8)
    (product,) = session.run(None, {"a": a, "b": b})
    return bool((product != 64 * 255 * 127).any())
