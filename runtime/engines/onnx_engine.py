"""The fallback engine: one ONNX Runtime session over the bundle's standard-operator graph."""

from __future__ import annotations

import numpy as np

from runtime.bundle import ONNX_GRAPH, WEIGHTS, Bundle
from runtime.engines.engine import SkippedEngine, check_images
from runtime.engines.onnx_sessions import make_options, open_session
from runtime.errors import REEXPORT, InvalidManifest, NotExplainable


class OnnxEngine:
    """Runs model.onnx; no native code of ours. Raises OnnxUnavailable, BundleError."""

    name = "onnx"
    explains = False
    explain_bytes = 0
    implementation = "cpu"
    workspace_bytes = 0  # ONNX Runtime allocates

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        # A session has its threads for good: for calls that may use one only there is a second.
        graph, files = str(bundle.file(ONNX_GRAPH)), bundle.manifest.files
        if WEIGHTS in files:  # an imported network's graph has its weights in itself
            bundle.file(WEIGHTS)  # ONNX Runtime opens it by itself
        self.session = open_session(graph, make_options(threads))
        self._single = self.session if threads == 1 else open_session(graph, make_options(1))
        self._check_shapes(bundle)
        self.bundle = bundle
        self.skipped: tuple[SkippedEngine, ...] = ()
        self.model_bytes = sum(files[name].bytes for name in (ONNX_GRAPH, WEIGHTS) if name in files)

    def _check_shapes(self, bundle: Bundle) -> None:
        """Compares the graph's input and output with the manifest. Raises InvalidManifest."""
        (image,), (logits,) = self.session.get_inputs(), self.session.get_outputs()
        found = image.shape[1:], logits.shape[1:]
        expected = list(bundle.manifest.input), [bundle.manifest.logits]
        if found != expected:
            raise InvalidManifest(
                f"{bundle.path}: expected a graph from {expected[0]} to {expected[1]} as input and "
                f"labels say, found one from {found[0]} to {found[1]}. {REEXPORT}"
            )

    def predict(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
        """float32 [N, 3, H, W] -> logits [N, classes]. Raises InvalidInput.

        `threads`: 1, else as many as the engine was loaded with.
        """
        images = check_images(images, self.bundle.manifest.input)
        session = self._single if threads == 1 else self.session
        (logits,) = session.run(["logits"], {"images": images})
        return np.asarray(logits, np.float32)

    def explain(self, images: np.ndarray, class_index: int) -> np.ndarray:
        """Raises NotExplainable: the graph is run as a whole."""
        raise NotExplainable(
            "expected an engine that shows the network's last feature map; found onnx, which shows "
            "the logits alone. Use the native or the torchscript engine, with a bundle that has a "
            "plan of layer groups."
        )
