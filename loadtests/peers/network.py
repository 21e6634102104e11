"""The work that every peer does for an image: decode, preprocess, MobileNet-v1, the best label.

The constants are those of the bundle's manifest, the arithmetic that of the service. It is called
with the path of the bundle in PEER_BUNDLE and the threads of one inference in PEER_THREADS. With
PEER_MODEL=none nothing is loaded, and nothing can be classified.
"""

import io
import json
import math
import os
from pathlib import Path
from typing import Any

# Read when onnxruntime is imported: no device id is written, no collector is asked.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from PIL import Image


class Network:
    """model.onnx of a bundle, with what is before and after it."""

    def __init__(self, bundle: Path, threads: int = 1) -> None:
        manifest = json.loads((bundle / "manifest.json").read_text())
        spec = manifest["preprocessing"]
        self._resize, self._crop = spec["resize"], spec["crop"]
        reduce = spec.get("reduce")
        self._least_side = None if reduce is None else math.ceil(reduce * self._resize)
        self._mean = np.array(spec["mean"], np.float32)
        self._std = np.array(spec["std"], np.float32)
        self._labels, self._temperature = manifest["labels"], manifest["temperature"]
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(threads > 1)))
        # Exact 8-bit products, as in the service: slower only on CPUs where they would saturate.
        options.add_session_config_entry("session.x64quantprecision", "1")
        self._session = ort.InferenceSession(
            str(bundle / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def infer(self, image: Image.Image) -> npt.NDArray[np.float32]:
        """Logits [labels] of an opened image, which is decoded only here.

        Without a last one that a bundle may have for none of them.
        """
        (batch,) = self._session.run(["logits"], {"images": self._prepare(image)[np.newaxis]})
        logits: npt.NDArray[np.float32] = batch[0, : len(self._labels)]
        return logits

    def classify(self, data: bytes) -> dict[str, Any]:
        """The best label of an encoded image and its score."""
        return self.classify_image(Image.open(io.BytesIO(data)))

    def classify_image(self, image: Image.Image) -> dict[str, Any]:
        """The same of an opened image."""
        logits = self.infer(image) / self._temperature
        weights = np.exp(logits - logits.max())
        best = int(weights.argmax())
        return {"label": self._labels[best], "score": float(weights[best] / weights.sum())}

    def _prepare(self, image: Image.Image) -> npt.NDArray[np.float32]:
        """float32 [3, crop, crop]: the shorter side resized, the middle cut out, normalised."""
        if self._least_side is not None:  # a JPEG is decoded at 1/8, 1/4 or 1/2 where that suffices
            image.draft("RGB", (self._least_side, self._least_side))
        image = image.convert("RGB")
        width, height = image.size
        short, resize, crop = min(width, height), self._resize, self._crop
        width, height = resize * width // short, resize * height // short
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        left, top = round((width - crop) / 2), round((height - crop) / 2)
        pixels = np.asarray(image.crop((left, top, left + crop, top + crop)), np.float32)
        return np.ascontiguousarray(((pixels - self._mean) / self._std).transpose(2, 0, 1))


class NoNetwork(Network):
    """Stands where a network would be: for the memory of a server before it loads one."""

    def __init__(self) -> None:
        """Loads nothing; it can't classify."""


def open_network() -> Network:
    """The network that the environment names; with PEER_MODEL=none one that loads nothing."""
    if os.environ.get("PEER_MODEL") == "none":
        return NoNetwork()
    return Network(Path(os.environ["PEER_BUNDLE"]), int(os.environ.get("PEER_THREADS", "1")))
