"""The fallback engine: one ONNX Runtime session over the bundle's standard-operator graph."""

from __future__ import annotations

import numpy as np

from runtime.bundle import ONNX_GRAPH, REEXPORT, WEIGHTS, Bundle
from runtime.engine import SkippedEngine, check_images
from runtime.errors import InvalidManifest, OnnxUnavailable


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
                "install '.[onnx]'"
            ) from error
        graph = bundle.file(ONNX_GRAPH)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry(
            "session.intra_op.allow_spinning", "0" if threads == 1 else "1"
        )
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
