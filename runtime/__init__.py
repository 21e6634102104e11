"""Runs bundles.

Load_engine, Engine, Bundle, preprocessing, errors. Imports neither torch nor onnxruntime.
"""

from runtime.bundle import Bundle, Manifest, read_bundle
from runtime.engine import ENGINES, Engine, SkippedEngine, load_engine
from runtime.errors import (
    BundleError,
    EngineUnavailable,
    ImageTooLarge,
    InvalidImage,
    InvalidInput,
    NoEngine,
    RuntimeFault,
    UnsupportedImage,
)
from runtime.preprocess import (
    ImageLimits,
    Preprocessing,
    decode_image,
    preprocess,
    resize_and_crop,
)

__all__ = [
    "ENGINES",
    "Bundle",
    "BundleError",
    "Engine",
    "EngineUnavailable",
    "ImageLimits",
    "ImageTooLarge",
    "InvalidImage",
    "InvalidInput",
    "Manifest",
    "NoEngine",
    "Preprocessing",
    "RuntimeFault",
    "SkippedEngine",
    "UnsupportedImage",
    "decode_image",
    "load_engine",
    "preprocess",
    "read_bundle",
    "resize_and_crop",
]
