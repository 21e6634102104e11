"""Runs bundles.

Load_engine, Engine, Bundle, preprocessing, errors. Imports neither torch nor onnxruntime.
"""

from runtime.allocator import return_freed_memory, trim_memory
from runtime.bundle import Bundle, read_bundle, stamp_bundle
from runtime.cpu import CPUINFO, read_cpuinfo
from runtime.engines.engine import ENGINES, Engine, SkippedEngine, load_engine
from runtime.engines.self_test import SelfTest, check_at_load, run_self_test
from runtime.errors import (
    BundleError,
    EngineUnavailable,
    ImageTooLarge,
    InvalidImage,
    InvalidInput,
    NoEngine,
    NotExplainable,
    RuntimeFault,
    UnsupportedImage,
    WrongAnswer,
)
from runtime.hedging import Hedged, Hedger
from runtime.hierarchy import HedgeFigures, Hierarchy, Level, LevelFigures, Node
from runtime.image_files.decoding import (
    DecodingPlan,
    ImageLimits,
    decode_image,
    describe_full_size_limits,
    plan_decoding,
)
from runtime.image_reader import ImageReader
from runtime.images import Preprocessing, normalise, preprocess, resize_and_crop, restore_pixels
from runtime.kernels.library import IMPLEMENTATIONS
from runtime.known import Known, KnownFigures
from runtime.manifest import Manifest
from runtime.needs import estimate_kept_bytes, estimate_load_bytes

__all__ = [
    "CPUINFO",
    "ENGINES",
    "IMPLEMENTATIONS",
    "Bundle",
    "BundleError",
    "DecodingPlan",
    "Engine",
    "EngineUnavailable",
    "HedgeFigures",
    "Hedged",
    "Hedger",
    "Hierarchy",
    "ImageLimits",
    "ImageReader",
    "ImageTooLarge",
    "InvalidImage",
    "InvalidInput",
    "Known",
    "KnownFigures",
    "Level",
    "LevelFigures",
    "Manifest",
    "NoEngine",
    "Node",
    "NotExplainable",
    "Preprocessing",
    "RuntimeFault",
    "SelfTest",
    "SkippedEngine",
    "UnsupportedImage",
    "WrongAnswer",
    "check_at_load",
    "decode_image",
    "describe_full_size_limits",
    "estimate_kept_bytes",
    "estimate_load_bytes",
    "load_engine",
    "normalise",
    "plan_decoding",
    "preprocess",
    "read_bundle",
    "read_cpuinfo",
    "resize_and_crop",
    "restore_pixels",
    "return_freed_memory",
    "run_self_test",
    "stamp_bundle",
    "trim_memory",
]
