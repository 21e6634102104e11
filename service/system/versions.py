"""Versions of the service and its packages, from metadata: nothing is imported."""

import platform
from importlib.metadata import PackageNotFoundError, version

#: Distribution of this service; its version is the service's.
DISTRIBUTION = "bnn-service"
_PACKAGES = ("fastapi", "uvicorn", "numpy", "pillow", "torch", "onnxruntime")  # for bug reports


def read_versions() -> dict[str, str]:
    """Versions of the service, Python and the packages that are installed."""
    versions = {"service": _read_version(DISTRIBUTION) or "uninstalled"}
    versions["python"] = platform.python_version()
    found = {name: _read_version(name) for name in _PACKAGES}
    return versions | {name: value for name, value in found.items() if value is not None}


def _read_version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
