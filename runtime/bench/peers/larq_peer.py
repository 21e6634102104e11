"""Peer: larq-compute-engine on larq-zoo's MeliusNet22, untrained, one image at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODEL_BYTES_MOST = 8_000_000  # 4 MB with all binary layers packed; more: something stayed float
SETTINGS: dict[str, dict[str, bool]] = {
    "default": {},
    "indirect BGEMM": {"use_indirect_bgemm": True},
    "indirect BGEMM, XNNPACK": {"use_indirect_bgemm": True, "use_xnnpack": True},
}


def open_peer(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Callable[[], None]]]:
    """options: threads. Calls: one a setting of the interpreter."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import numpy as np
    import tensorflow as tf
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    model = _read_model()
    if len(model) > MODEL_BYTES_MOST:
        raise RuntimeError(
            f"expected a converted model of at most {MODEL_BYTES_MOST} bytes, found {len(model)}: "
            "layers stayed float"
        )
    images = np.random.default_rng(0).standard_normal((1, 224, 224, 3)).astype(np.float32)
    calls: dict[str, Callable[[], None]] = {}
    for name, setting in SETTINGS.items():
        interpreter = Interpreter(model, num_threads=options["threads"], **setting)

        def predict(interpreter: Any = interpreter) -> None:
            interpreter.predict(images)

        calls[name] = predict
    facts = {"version": _version(), "tensorflow": tf.__version__, "model_bytes": len(model)}
    return facts, calls


def _version() -> str:
    from importlib.metadata import version

    return f"larq-compute-engine {version('larq-compute-engine')}"


def _read_model() -> bytes:
    """The converted network. It takes a minute to convert: a virtual environment keeps it."""
    kept = Path(sys.prefix, f"meliusnet22-{_version().replace(' ', '-')}.tflite")
    if kept.is_file():
        return kept.read_bytes()
    model = _convert_model()
    if sys.prefix != sys.base_prefix:
        draft = kept.with_suffix(f".{os.getpid()}")
        draft.write_bytes(model)
        draft.replace(kept)
    return model


def _convert_model() -> bytes:
    import larq_compute_engine
    import larq_zoo
    import numpy as np
    import tensorflow as tf

    network = larq_zoo.literature.MeliusNet22(weights=None)
    random = np.random.default_rng(0)
    for layer in network.layers:  # fresh statistics would let the converter drop operations
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            *others, variance = (random.normal(0, 0.1, w.shape) for w in layer.get_weights())
            layer.set_weights([*others, 1 + np.abs(variance)])
    return bytes(larq_compute_engine.convert_keras_model(network))
