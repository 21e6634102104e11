"""The native engine: the plan over the kernel library's C ABI, with NumPy alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import PriorityQueue

import numpy as np

from runtime.allocator import MAPPED_BYTES
from runtime.bundle import WEIGHTS, Bundle
from runtime.engines.class_activation import ClassActivation
from runtime.engines.engine import SkippedEngine, check_images
from runtime.engines.prepare import prepare_bundle
from runtime.kernels import library
from runtime.kernels.network import TOGETHER, Network
from runtime.kernels.parts import Floats, Part


@dataclass(frozen=True, order=True)
class Room:
    """The right to one call, with its memory; the one for most threads is taken first.

    borrow: takes the number of images, gives memory for so many to run together as pays.
    """

    order: int
    threads: int
    borrow: Callable[[int], Part] = field(compare=False)


class NativeEngine:
    """Runs packed.safetensors on `threads` threads, which compute one image each, or one together.

    A batch is shared out, whole images to each thread; what does not make a full round is computed
    image by image by all threads, as a single image is. The images of one thread go through the
    last stages together. Kernels run with the interpreter lock released. predict may be called from
    any number of threads: together they use no more than `threads` at a time. What a call computes
    in (`workspace_bytes` at most, all calls together) is allocated for it: between two calls
    decoding has these pages. Only where it is so large that the allocator would map and unmap it
    each time it stays. Raises NativeUnavailable, BundleError.
    """

    name = "native"
    explains = True

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self.implementation = library.active()
        self.bundle = bundle
        self.skipped: tuple[SkippedEngine, ...] = ()
        parts = prepare_bundle(bundle)
        self._network = Network(parts, threads)
        self._activation = ClassActivation(bundle, parts)
        self.explain_bytes = self._activation.bytes
        self._rooms: PriorityQueue[Room] = PriorityQueue()
        self.workspace_bytes = 0
        for i in range(threads):
            most = threads if i == 0 else 1  # one call at a time may use more than one thread
            sizes = [self._network.measure_workspace(most, n + 1) for n in range(TOGETHER)]
            self.workspace_bytes += sizes[-1]
            self._rooms.put(Room(i, most, _plan_workspace(sizes)))
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "bnn-native") if threads > 1 else None
        self.model_bytes = bundle.manifest.files[WEIGHTS].bytes

    def predict(self, images: Floats, threads: int | None = None) -> Floats:
        """float32 [N, 3, H, W] -> logits float32 [N, classes]. Raises InvalidInput."""
        images = check_images(images, self.bundle.manifest.input)
        logits = np.empty((len(images), self.bundle.manifest.logits), np.float32)
        most = self._threads if threads is None else min(threads, self._threads)
        shared = len(images) - len(images) % most if most > 1 else 0
        if self._pool and shared:
            jobs = [
                self._pool.submit(self._run, *share, 1)
                for share in zip(
                    np.array_split(images[:shared], most),
                    np.array_split(logits[:shared], most),
                    strict=True,
                )
            ]
            for job in jobs:
                job.result()
        if shared < len(images):
            self._run(images[shared:], logits[shared:], most)
        return logits

    def explain(self, images: Floats, class_index: int) -> Floats:
        """float32 [N, 3, H, W] -> class activation maps float32 [N, h, w]. Raises InvalidInput."""
        images = check_images(images, self.bundle.manifest.input)
        return self._activation.compute(images, class_index)

    def _run(self, images: Floats, logits: Floats, threads: int) -> None:
        room = self._rooms.get()
        try:
            workspace = room.borrow(len(images))
            self._network.run(images, workspace, logits, min(threads, room.threads))
        finally:
            self._rooms.put(room)


def _plan_workspace(sizes: list[int]) -> Callable[[int], Part]:
    """A function that returns a workspace for so many images: a new one, or always the same one."""
    if sizes[-1] < MAPPED_BYTES:
        return lambda images: library.allocate(sizes[min(images, len(sizes)) - 1])
    kept = library.allocate(sizes[-1])  # pages that no call has touched yet are none
    return lambda images: kept
