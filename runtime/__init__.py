"""Runs bundles.

Load_engine, Engine, Bundle, preprocessing, errors. Imports neither torch nor onnxruntime.
"""

from runtime.bundle import Bundle, read_bundle
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
    WrongAnswer,
)
from runtime.manifest import Manifest
from runtime.preprocess import (
    ImageLimits,
    Preprocessing,
    decode_image,
    preprocess,
    resize_and_crop,
)
from runtime.self_test import SelfTest, check_at_load, run_self_test

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
    "SelfTest",
    "SkippedEngine",
    "UnsupportedImage",
    "WrongAnswer",
    "check_at_load",
    "decode_image",
    "load_engine",
    "preprocess",
    "read_bundle",
    "resize_and_crop",
    "run_self_test",
]
