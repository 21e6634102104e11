"""The torchscript engine: the bundle's scripted graph, filled with prepared layer groups."""

from __future__ import annotations

from runtime.engines.layers import (  # first: it says what is missing if torch is
    fill_parts,
    load_network,
)

# isort: split
import numpy as np
import torch

from runtime.bundle import TORCHSCRIPT_GRAPH, WEIGHTS, Bundle
from runtime.engines.class_activation import ClassActivation
from runtime.engines.engine import SkippedEngine, check_images
from runtime.engines.prepare import prepare_bundle
from runtime.errors import REEXPORT, TorchUnavailable
from runtime.kernels import library
from runtime.kernels.parts import Floats

WARM_UP = 2  # calls after which TorchScript has settled on its graph


class TorchScriptEngine:
    """Runs model.ts with packed.safetensors; a batch is divided among `threads` threads.

    Raises TorchUnavailable, BundleError.
    """

    name = "torchscript"
    explains = True
    workspace_bytes = 0  # torch allocates

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.implementation = library.active()
        prepared = prepare_bundle(bundle)
        graph = bundle.file(TORCHSCRIPT_GRAPH)
        self._threads = threads
        try:
            self._network = load_network(graph)
        except (RuntimeError, ValueError) as error:
            raise TorchUnavailable(
                f"{graph}: expected a graph that torch {torch.__version__} reads, found {error}. "
                f"{REEXPORT}"
            ) from error
        fill_parts(self._network, [step.name for step in bundle.manifest.plan], prepared)
        self._activation = ClassActivation(bundle, prepared)  # by the same layer groups
        self.explain_bytes = self._activation.bytes
        self.bundle = bundle
        self.skipped: tuple[SkippedEngine, ...] = ()
        self.model_bytes = sum(
            bundle.manifest.files[name].bytes for name in (TORCHSCRIPT_GRAPH, WEIGHTS)
        )
        for _ in range(WARM_UP):
            self.predict(np.zeros((1, *bundle.manifest.input), np.float32))

    def predict(self, images: Floats, threads: int | None = None) -> Floats:
        """float32 [N, 3, H, W] -> logits float32 [N, classes]. Raises InvalidInput.

        torch keeps a number of threads for each thread that calls it: setting it disturbs nobody.
        """
        images = check_images(images, self.bundle.manifest.input)
        most = self._threads if threads is None else min(threads, self._threads)
        if torch.get_num_threads() != most:
            torch.set_num_threads(most)
        if not images.flags.writeable:  # torch knows no read-only tensors and warns
            images = images.copy()
        with torch.inference_mode():
            logits: Floats = self._network(torch.from_numpy(images)).numpy()
        return logits

    def explain(self, images: Floats, class_index: int) -> Floats:
        """float32 [N, 3, H, W] -> class activation maps float32 [N, h, w]. Raises InvalidInput."""
        images = check_images(images, self.bundle.manifest.input)
        return self._activation.compute(images, class_index)
