"""Peer: LiteRT (XNNPACK) on a .tflite file of float32 images [N, S, S, 3], or of int8 ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def open_peer(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Callable[[], None]]]:
    """options: model (path), threads, batch. Facts: "answer", logits of the seeded images. Calls:
    predict.
    """
    from importlib.metadata import version

    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(options["model"], num_threads=options["threads"])
    interpreter.allocate_tensors()
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
    batch, height, width, channels = given["shape"]
    if batch != options["batch"]:
        raise ValueError(f"expected a file for batch {options['batch']}, found one for {batch}")
    shape = (batch, channels, height, width)
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    values = _quantize(np.ascontiguousarray(images.transpose(0, 2, 3, 1)), given)

    def predict() -> None:
        interpreter.set_tensor(given["index"], values)
        interpreter.invoke()
        interpreter.get_tensor(found["index"])

    predict()
    logits = interpreter.get_tensor(found["index"]).astype(np.float32)
    scale, zero = found["quantization"]
    answer = (logits - zero) * scale if scale else logits
    facts = {"version": f"ai-edge-litert {version('ai-edge-litert')}", "answer": answer.tolist()}
    return facts, {"predict": predict}


def _quantize(values: Any, details: Any) -> Any:
    import numpy as np

    scale, zero = details["quantization"]
    if not scale:
        return values
    bounds = np.iinfo(details["dtype"])
    return np.clip(np.round(values / scale) + zero, bounds.min, bounds.max).astype(details["dtype"])
