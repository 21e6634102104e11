"""Finds files that the build installed into this package: compiled libraries, their records."""

import importlib.metadata
import importlib.resources
import sys
from pathlib import Path
from typing import Final

from runtime.errors import NativeUnavailable

DISTRIBUTION: Final = "bnn-service"
SUFFIX: Final = ".dylib" if sys.platform == "darwin" else ".so"
# Only a source tree has the kernels' source beside the package.
IS_SOURCE_TREE: Final = (Path(__file__).parents[1] / "csrc").is_dir()
#: What to do where a library of ours is missing or does not fit: advice that fits the installation.
REBUILD: Final = (
    "Build it with 'make setup' ('make WITH_TORCH=yes setup' for torch's operators), or "
    "'pip install --no-build-isolation -e .'."
    if IS_SOURCE_TREE
    else f"Install it again: pip install --force-reinstall --no-deps {DISTRIBUTION}"
)


def advise_extra(extra: str) -> str:
    """The command that adds an extra ("torch", "onnx", "otel") to this installation."""
    if not IS_SOURCE_TREE:
        return f"pip install '{DISTRIBUTION}[{extra}]'"
    return "make WITH_TORCH=yes setup" if extra == "torch" else f"pip install '.[{extra}]'"


def find_file(name: str) -> Path:
    """Path of a file that the build installed into this package, e.g. "libbnn.so".

    Works for a wheel, an editable install, and a source tree that shadows an installed wheel.
    Raises NativeUnavailable with every place looked at.
    """
    places: list[str] = []
    try:
        recorded = importlib.metadata.distribution(DISTRIBUTION).files or []
    except importlib.metadata.PackageNotFoundError:
        recorded = []
        places.append(f"the files of {DISTRIBUTION} (not installed)")
    else:
        found = [Path(str(file.locate())) for file in recorded if file.name == name]
        for path in found:
            if path.is_file():
                return path.resolve()
            places.append(f"{path} (recorded at installation, not there)")
        if not found:
            places.append(f"the files of {DISTRIBUTION} (none of that name)")
    resource = importlib.resources.files("runtime") / name
    if resource.is_file():
        return Path(str(resource)).resolve()
    places.append(f"{resource} (not there)")
    raise NativeUnavailable(f"expected {name}, found it in none of: {'; '.join(places)}. {REBUILD}")


def is_absent(error: Exception, package: str) -> bool:
    """Whether an import failed because the package is missing, and not because it is broken.

    A package that is there but lacks one of its own modules, or a library, is broken.
    """
    return isinstance(error, ModuleNotFoundError) and error.name == package
