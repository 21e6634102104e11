"""The engine contract, and the choice of an engine for a bundle."""

from __future__ import annotations

import importlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, cast

import numpy as np

from runtime.bundle import ONNX_GRAPH, TORCHSCRIPT_GRAPH, WEIGHTS, Bundle, read_bundle
from runtime.engines.self_test import check_at_load
from runtime.errors import (
    EngineUnavailable,
    ImplementationUnavailable,
    InvalidInput,
    MissingFile,
    NativeUnavailable,
    NoEngine,
    WrongAnswer,
)

logger = logging.getLogger(__name__)

FORCE_IMPLEMENTATION = "BNN_FORCE_IMPLEMENTATION"  # read by the kernel library

# In order of preference, the leanest first: name -> (module, class, files of the bundle it cannot
# do without). A module is imported only if the bundle has its files: torch costs 200 MB of memory,
# and its engine runs the same kernels as native does.
ENGINES = {
    "native": ("runtime.engines.native_engine", "NativeEngine", (WEIGHTS,)),
    "torchscript": (
        "runtime.engines.torchscript_engine",
        "TorchScriptEngine",
        (TORCHSCRIPT_GRAPH, WEIGHTS),
    ),
    "onnx": ("runtime.engines.onnx_engine", "OnnxEngine", (ONNX_GRAPH,)),
}


#: Why an engine was passed over: only `failed` is a fault, the others are somebody's choice.
SkipCause = Literal["not_installed", "not_in_bundle", "failed"]


@dataclass(frozen=True)
class SkippedEngine:
    """An engine that was tried before the one in use, and why it could not be used."""

    name: str
    reason: str
    cause: SkipCause = "failed"


class Engine(Protocol):
    """Runs a bundle: images to logits. Safe to call from several threads."""

    name: str  # native, torchscript, onnx
    implementation: str  # the kernels behind it, one of IMPLEMENTATIONS; cpu for ONNX Runtime
    bundle: Bundle
    model_bytes: int  # of the files this engine reads
    workspace_bytes: int  # of activations, all calls together; 0 if the library below allocates
    skipped: tuple[SkippedEngine, ...]
    explains: bool  # whether `explain` can answer
    explain_bytes: int  # what it takes for an image; 0 if it cannot

    def predict(self, images: np.ndarray, threads: int | None = None) -> np.ndarray:
        """Preprocessed images float32 [N, 3, H, W] -> logits float32 [N, classes].

        `threads`: max threads for this call; None: all that the engine was loaded with. The answer
        does not depend on it. Raises InvalidInput.
        """
        ...

    def explain(self, images: np.ndarray, class_index: int) -> np.ndarray:
        """Preprocessed images float32 [N, 3, H, W] -> class activation maps float32 [N, h, w].

        The mean of a map and the class's bias are its logit. Raises InvalidInput, NotExplainable.
        """
        ...


def load_engine(bundle: str | Path | Bundle, engine: str = "auto", threads: int = 1) -> Engine:
    """Loads a bundle into an engine: `auto` is the first of native, torchscript, onnx that works.

    An engine works if the bundle has its files, the process can run it, and its answer to a stored
    image is right (engines.self_test). Each engine that does not work is kept in Engine.skipped
    with the reason and logged: as a warning if it is broken, at level debug if it is absent by
    choice. There is no fallback for a broken bundle, for an engine given by name, or for kernels
    given by name (BNN_FORCE_IMPLEMENTATION). Raises BundleError, EngineUnavailable (NoEngine with
    every reason), ValueError for an unknown name.
    """
    if engine != "auto" and engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}; expected auto, {', '.join(ENGINES)}")
    if threads < 1:
        raise ValueError(f"threads is {threads}; expected at least 1")
    bundle = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
    skipped: list[SkippedEngine] = []
    for name in ENGINES if engine == "auto" else (engine,):
        try:
            loaded = _load(name, bundle, threads)
        except (EngineUnavailable, MissingFile) as error:
            if engine != "auto" or isinstance(error, ImplementationUnavailable):
                raise
            if (forced := os.environ.get(FORCE_IMPLEMENTATION)) and isinstance(
                error, NativeUnavailable | WrongAnswer
            ):
                raise ImplementationUnavailable(
                    f"{FORCE_IMPLEMENTATION}={forced} asks for kernels, but: {error}"
                ) from error
            skipped.append(SkippedEngine(name, str(error), _find_cause(error)))
            _log_skipped(skipped[-1])
            continue
        loaded.skipped = tuple(skipped)
        logger.info(
            "engine %s/%s runs %s", loaded.name, loaded.implementation, bundle.manifest.name
        )
        return loaded
    reasons = "; ".join(f"{item.name}: {item.reason}" for item in skipped)
    raise NoEngine(f"no engine can run {bundle.path}: {reasons}")


def _find_cause(error: EngineUnavailable | MissingFile) -> SkipCause:
    if isinstance(error, MissingFile):  # what the manifest lists was verified to be there
        return "not_in_bundle"
    return "failed" if error.installed else "not_installed"


def _log_skipped(skipped: SkippedEngine) -> None:
    if skipped.cause == "failed":
        logger.warning("engine %s cannot be used: %s", skipped.name, skipped.reason)
    elif skipped.cause == "not_installed":
        logger.debug("engine %s is not installed", skipped.name)
    else:
        logger.debug("engine %s has no files in this bundle", skipped.name)


def _load(name: str, bundle: Bundle, threads: int) -> Engine:
    module, class_name, files = ENGINES[name]
    for file in files:
        bundle.file(file)
    engine = cast(Engine, getattr(importlib.import_module(module), class_name)(bundle, threads))
    check_at_load(engine)
    return engine


def check_images(images: object, shape: tuple[int, int, int]) -> np.ndarray:
    """`images` as a contiguous float32 [N, *shape] array, N >= 1, all finite.

    Raises InvalidInput.
    """
    if not isinstance(images, np.ndarray) or images.dtype != np.float32:
        found = images.dtype if isinstance(images, np.ndarray) else type(images).__name__
        raise InvalidInput(
            f"expected a float32 array, found {found}; convert with astype(numpy.float32)"
        )
    if images.ndim != 4 or images.shape[1:] != shape or images.shape[0] < 1:
        raise InvalidInput(
            f"expected shape [N, {', '.join(map(str, shape))}], found {list(images.shape)}"
        )
    if not np.isfinite(images).all():
        raise InvalidInput("expected finite values, found NaN or infinity")
    return np.ascontiguousarray(images)
