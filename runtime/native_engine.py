"""The native engine: the plan over the kernel library's C ABI, with NumPy alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from runtime import library
from runtime.bundle import WEIGHTS, Bundle
from runtime.engine import SkippedEngine, check_images
from runtime.parts import Floats, Part, PartInfo
from runtime.prepare import prepare_bundle


class Arena:
    """The memory one image needs on its way through the parts, allocated once.

    `maps[i]` is where part i writes, float32 [1, C, H, W]; the last part writes to the caller.
    Two areas take turns, since a part needs only its predecessor's result. `workspace` is for the
    kernels.
    """

    def __init__(self, infos: list[PartInfo]) -> None:
        sizes = [int(np.prod(info.output)) for info in infos[:-1]]
        areas = [
            library.allocate(4 * max(sizes[turn::2], default=0)).view(np.float32) for turn in (0, 1)
        ]
        self.maps = [
            areas[i % 2][:size].reshape(1, *info.output)
            for i, (size, info) in enumerate(zip(sizes, infos, strict=False))
        ]
        self.workspace = library.allocate(max(info.workspace_bytes for info in infos))
        self.nbytes = sum(area.nbytes for area in areas) + self.workspace.nbytes


class NativeEngine:
    """Runs packed.safetensors; `threads` images are computed at once, each by one thread.

    Kernels run with the interpreter lock released. predict may be called from any number of
    threads: they share `threads` arenas. Raises NativeUnavailable, BundleError.
    """

    name = "native"

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.implementation = library.active()
        self.bundle = bundle
        self.skipped: tuple[SkippedEngine, ...] = ()
        self._parts: list[Part] = prepare_bundle(bundle)
        infos = [library.describe_part(part) for part in self._parts]
        self._arenas: SimpleQueue[Arena] = SimpleQueue()
        self.workspace_bytes = 0
        for _ in range(threads):
            arena = Arena(infos)
            self.workspace_bytes += arena.nbytes
            self._arenas.put(arena)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "bnn-native") if threads > 1 else None
        self.model_bytes = bundle.manifest.files[WEIGHTS].bytes

    def predict(self, images: Floats) -> Floats:
        """float32 [N, 3, H, W] -> logits float32 [N, classes]. Raises InvalidInput."""
        images = check_images(images, self.bundle.manifest.input)
        logits = np.empty((len(images), self.bundle.manifest.classes), np.float32)
        if self._pool is None or len(images) == 1:
            self._run(images, logits)
            return logits
        jobs = [
            self._pool.submit(self._run, *share)
            for share in zip(
                np.array_split(images, min(self._threads, len(images))),
                np.array_split(logits, min(self._threads, len(images))),
                strict=True,
            )
        ]
        for job in jobs:
            job.result()
        return logits

    def _run(self, images: NDArray[np.float32], logits: NDArray[np.float32]) -> None:
        arena = self._arenas.get()
        try:
            for i in range(len(images)):
                x = images[i : i + 1]
                for part, y in zip(self._parts, (*arena.maps, logits[i : i + 1]), strict=True):
                    x = library.run_part(part, x, arena.workspace, y)
        finally:
            self._arenas.put(arena)
