"""Not a contestant: writes the int8 form of a .tflite file, by Google's quantizer on noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CALIBRATION_IMAGES = (
    4  # of noise: the ranges only have to be plausible, time does not depend on them
)


def open_peer(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Callable[[], None]]]:
    """options: model, out (paths). Static, weights and maps int8, per channel; no calls."""
    from importlib.metadata import version

    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    interpreter = Interpreter(options["model"])
    (given,) = interpreter.get_input_details()
    ((key, signature),) = interpreter.get_signature_list().items()
    (name,) = signature["inputs"]
    random = np.random.default_rng(1)
    noise = [
        {name: random.standard_normal(given["shape"]).astype(np.float32)}
        for _ in range(CALIBRATION_IMAGES)
    ]
    work = quantizer.Quantizer(options["model"], recipe.static_wi8_ai8())
    work.quantize(work.calibrate({key: noise})).export_model(options["out"], overwrite=True)
    return {"version": f"ai-edge-quantizer {version('ai-edge-quantizer')}"}, {}
