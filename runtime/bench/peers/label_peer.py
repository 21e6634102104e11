"""Peer: a JPEG's bytes to a label as most programs do: Pillow at full size, ONNX Runtime."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def open_peer(
    options: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, Callable[[], dict[str, float]]]]:
    """options: model (path), preprocessing (resize, crop, mean, std), photos (path by name),
    saturates (see onnxruntime_peer). Facts: "answers", logits by name. Calls: one a photo, its
    parts "whole" and "cpu", seconds of the process. On one thread.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # see runtime/engines/onnx_sessions.py
    import numpy as np
    import onnxruntime as ort
    from PIL import Image, __version__

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    if options["saturates"]:
        settings.add_session_config_entry("session.x64quantprecision", "1")
    settings.log_severity_level = 3
    session = ort.InferenceSession(options["model"], settings, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    spec = options["preprocessing"]
    mean, std = (np.array(spec[name], np.float32) for name in ("mean", "std"))

    def infer(data: bytes) -> Any:
        image = Image.open(io.BytesIO(data)).convert("RGB")
        factor = spec["resize"] / min(image.size)
        width, height = (max(spec["crop"], round(side * factor)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - spec["crop"]) // 2, (height - spec["crop"]) // 2
        image = image.crop((left, top, left + spec["crop"], top + spec["crop"]))
        pixels = (np.asarray(image, np.float32) - mean) / std
        (logits,) = session.run(None, {given.name: pixels.transpose(2, 0, 1)[None]})
        return logits

    photos = {name: Path(path).read_bytes() for name, path in options["photos"].items()}

    def make_call(data: bytes) -> Callable[[], dict[str, float]]:
        def call() -> dict[str, float]:
            began, began_cpu = time.perf_counter(), time.process_time()
            infer(data).argmax()
            return {
                "whole": time.perf_counter() - began,
                "cpu": time.process_time() - began_cpu,
            }

        return call

    facts = {
        "version": f"onnxruntime {ort.__version__}, Pillow {__version__}",
        "answers": {name: infer(data).tolist() for name, data in photos.items()},
    }
    return facts, {name: make_call(data) for name, data in photos.items()}
