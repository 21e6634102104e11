"""Not a contestant: writes the int8 graph that ONNX Runtime and OpenVINO run, by its quantizer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALIBRATION_IMAGES = (
    4  # of noise: the ranges only have to be plausible, time does not depend on them
)


def open_peer(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Callable[[], None]]]:
    """options: model, out (paths), size (pixels). Static, QDQ, per channel; no calls."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # see runtime/engines/onnx_sessions.py
    import numpy as np
    import onnxruntime as ort
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    random = np.random.default_rng(0)

    class Noise(CalibrationDataReader):  # type: ignore[misc]
        left = CALIBRATION_IMAGES

        def get_next(self) -> dict[str, Any] | None:
            if self.left == 0:
                return None
            self.left -= 1
            shape = (1, 3, options["size"], options["size"])
            return {"images": random.standard_normal(shape).astype(np.float32)}

    prepared = str(Path(options["out"]).with_suffix(".prepared.onnx"))
    quant_pre_process(options["model"], prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        options["out"],
        Noise(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return {"version": f"onnxruntime {ort.__version__}"}, {}
