"""The exception tree of the runtime; every message says expected, found and remedy.

RuntimeFault
├── BundleError               the bundle directory cannot be used
│   ├── MissingFile           a file the manifest or the format names is not there
│   ├── UnsupportedFormat     written by another version of the format
│   ├── InvalidManifest       manifest.json is not what the format describes
│   │   └── InvalidHierarchy  nodes over the labels that make no hierarchy, or wrong levels
│   ├── PathOutsideBundle     a file name leaves the directory
│   ├── TruncatedFile         fewer or more bytes than recorded
│   ├── ChecksumMismatch      other bytes than recorded, the manifest's own among them
│   ├── OversizedHeader       a weight file whose header is larger than the format allows
│   └── InvalidRecord         tensors that do not fit the plan
├── EngineUnavailable         an engine cannot run here
│   ├── NativeUnavailable     the kernel library is missing or does not load
│   ├── TorchUnavailable      torch or its operator library is missing
│   ├── OnnxUnavailable       onnxruntime is missing or refuses the graph
│   ├── ImplementationUnavailable    the kernels asked for by name do not run here
│   ├── WrongAnswer           it answers otherwise than the bundle's stored image
│   └── NoEngine              none of them
├── InvalidInput              predict() got another shape, type or non-finite values
├── NotExplainable            an engine cannot say what in an image its answer rests on
└── InvalidImage              bytes that are no acceptable image
    ├── UnsupportedImage      a format, or a kind of one, outside the allow-list
    └── ImageTooLarge         more bytes, pixels, scans or memory than the limits
"""

#: The remedy of most faults of a bundle.
REEXPORT = "Export the bundle again with python -m models.export in a checkout, or copy it again."


class RuntimeFault(Exception):
    """Base of all exceptions that this package raises on purpose."""


class BundleError(RuntimeFault):
    """The bundle directory cannot be used."""


class MissingFile(BundleError):
    """A file that the manifest or the format names is not there."""


class UnsupportedFormat(BundleError):
    """The bundle was written by a version of the format that this build does not read."""


class InvalidManifest(BundleError):
    """manifest.json is not what the format describes."""


class InvalidHierarchy(InvalidManifest):
    """Nodes over the labels that make no hierarchy, or wrong levels."""


class PathOutsideBundle(BundleError):
    """A file name in the manifest leaves the bundle directory."""


class TruncatedFile(BundleError):
    """A file's length differs from the recorded one."""


class ChecksumMismatch(BundleError):
    """A file's bytes, or the values of the manifest, do not match the recorded digest."""


class OversizedHeader(BundleError):
    """A weight file announces a header larger than the format allows."""


class InvalidRecord(BundleError):
    """Tensors of the weight file do not fit the plan."""


class EngineUnavailable(RuntimeFault):
    """An engine cannot run here.

    `installed` is False if a package that the engine needs was never installed: then nothing is
    broken.
    """

    def __init__(self, message: str, *, installed: bool = True) -> None:
        super().__init__(message)
        self.installed = installed


class NativeUnavailable(EngineUnavailable):
    """The kernel library is missing or does not load."""


class TorchUnavailable(EngineUnavailable):
    """torch or its operator library is missing or does not load."""


class OnnxUnavailable(EngineUnavailable):
    """onnxruntime is missing or refuses the graph."""


class ImplementationUnavailable(EngineUnavailable):
    """The kernels named by BNN_FORCE_IMPLEMENTATION or a caller are unknown or do not run here.

    Kernels that are named explicitly have no substitute, so this ends the search for an engine.
    """


class WrongAnswer(EngineUnavailable):
    """An engine's answer to a stored image is wrong by more than rounding."""


class NoEngine(EngineUnavailable):
    """No engine can run the bundle; the message has every reason."""


class InvalidInput(RuntimeFault):
    """predict() got a tensor of another shape or type, or with non-finite values."""


class NotExplainable(RuntimeFault):
    """An engine cannot explain its answers."""


class InvalidImage(RuntimeFault):
    """The bytes are no acceptable image."""


class UnsupportedImage(InvalidImage):
    """The image's format, or its kind of a format, is outside the allow-list."""


class ImageTooLarge(InvalidImage):
    """The image has more bytes, pixels or scans, or takes more memory, than the limits allow."""
