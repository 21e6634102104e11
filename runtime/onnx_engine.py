"""The fallback engine: one ONNX Runtime session over the bundle's standard-operator graph."""

from __future__ import annotations

from functools import cache

import numpy as np

from runtime.bundle import ONNX_GRAPH, REEXPORT, WEIGHTS, Bundle
from runtime.engine import SkippedEngine, check_images
from runtime.errors import InvalidManifest, OnnxUnavailable
from runtime.installed import is_absent

# The graph c = MatMulInteger(a, b), a uint8 [8, 64], b int8 [64, 8], as onnx.helper writes it.
PRODUCT_GRAPH = (
    b'\x08\t\x12\x00:\\\n\x18\n\x01a\n\x01b\x12\x01c"\rMatMulInteger\x12\x01gZ\x13\n\x01a\x12\x0e\n\x0c'
    b"\x08\x02\x12\x08\n\x02\x08\x08\n\x02\x08@Z\x13\n\x01b\x12\x0e\n\x0c\x08\x03\x12\x08\n\x02\x08@\n\x02"
    b"\x08\x08b\x13\n\x01c\x12\x0e\n\x0c\x08\x06\x12\x08\n\x02\x08\x08\n\x02\x08\x08B\x04\n\x00\x10\x12"
)


@cache
def saturates() -> bool:
    """Whether ONNX Runtime's products of uint8 and int8 are wrong on this CPU.

    x86-64 without VNNI adds two products in 16 bits, where 2 x 255 x 127 does not fit. Which kernel
    it takes is its own affair; the largest product tells.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(PRODUCT_GRAPH, options, providers=["CPUExecutionProvider"])
    a, b = np.full((8, 64), 255, np.uint8), np.full((64, 8), 127, np.int8)
    (product,) = session.run(None, {"a": a, "b": b})
    return bool((product != 64 * 255 * 127).any())


class OnnxEngine:
    """Runs model.onnx; no native code of ours. Raises OnnxUnavailable, BundleError."""

    name = "onnx"
    implementation = "cpu"
    workspace_bytes = 0  # ONNX Runtime allocates

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise OnnxUnavailable(
                f"expected the package onnxruntime, found {error}. Install the extra: pip "
                "install '.[onnx]'",
                installed=not is_absent(error, "onnxruntime"),
            ) from error
        graph = bundle.file(ONNX_GRAPH)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry(
            "session.intra_op.allow_spinning", "0" if threads == 1 else "1"
        )
        if saturates():  # then int8 weights run as uint8: exact and slower; other graphs as before
            options.add_session_config_entry("session.x64quantprecision", "1")
        options.log_severity_level = 3  # errors; the rest goes to stderr unasked
        try:
            self.session = ort.InferenceSession(
                str(graph), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own exception classes have no common base
            raise OnnxUnavailable(
                f"{graph}: onnxruntime {ort.__version__} refuses the graph: {error}"
            ) from error
        self._check_shapes(bundle)
        self.bundle = bundle
        self.skipped: tuple[SkippedEngine, ...] = ()
        files = bundle.manifest.files
        self.model_bytes = sum(files[name].bytes for name in (ONNX_GRAPH, WEIGHTS) if name in files)

    def _check_shapes(self, bundle: Bundle) -> None:
        """Compares the graph's input and output with the manifest. Raises InvalidManifest."""
        (image,), (logits,) = self.session.get_inputs(), self.session.get_outputs()
        found = image.shape[1:], logits.shape[1:]
        expected = list(bundle.manifest.input), [bundle.manifest.classes]
        if found != expected:
            raise InvalidManifest(
                f"{bundle.path}: expected a graph from {expected[0]} to {expected[1]} as input and "
                f"labels say, found one from {found[0]} to {found[1]}. {REEXPORT}"
            )

    def predict(self, images: np.ndarray) -> np.ndarray:
        """float32 [N, 3, H, W] -> logits [N, classes]. Raises InvalidInput."""
        images = check_images(images, self.bundle.manifest.input)
        (logits,) = self.session.run(["logits"], {"images": images})
        return np.asarray(logits, np.float32)
