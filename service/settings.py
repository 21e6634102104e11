"""Every setting of the service: one class, read from BNN_ variables, never at import."""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from runtime import ImageLimits
from service.cpu import count_cpus

PREFIX = "BNN_"
#: Read by the kernel library, not here; documented with the others.
KERNEL_SETTINGS = {
    "BNN_FORCE_IMPLEMENTATION": "kernels to use: avx512, avx2, neon or generic; unset: the best "
    "that this CPU can run",
    "BNN_FORCE_KERNEL": "family of binary convolutions, for measurements: popcount or sliced; "
    "unset: chosen for each stage",
}
_DEFAULT_BUNDLE = Path(__file__).resolve().parent / "bundles" / "default"
LONGEST_DEADLINE_MS = 60_000
_LARGEST_DEFAULT_THREADS = 4  # beyond it a single small picture gains little


class InvalidSettings(Exception):
    """An environment variable has a value that is not allowed; the text names each one."""


def _default_threads() -> int:
    return min(count_cpus(), _LARGEST_DEFAULT_THREADS)


class Settings(BaseSettings):
    """The service's settings. Read them with `read_settings`, which explains what is wrong."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True
    )

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0: any free one")
    bundle: Path = Field(_DEFAULT_BUNDLE, description="directory of the model to serve")
    engine: Literal["auto", "torchscript", "native", "onnx"] = Field(
        "auto",
        description="auto: the first of torchscript, native, onnx that can run, with every skipped "
        "one reported; a name: that one or none",
    )
    workers: int = Field(
        default_factory=count_cpus,
        ge=1,
        le=256,
        description="images in work at the same time; default: the CPUs this process may use",
    )
    threads: int = Field(
        default_factory=_default_threads,
        ge=1,
        le=256,
        description="threads of one inference; default: the CPUs this process may use, at most "
        f"{_LARGEST_DEFAULT_THREADS}",
    )
    deadline_ms: int = Field(
        3000,
        ge=1,
        le=LONGEST_DEADLINE_MS,
        description="time of an answer, from the complete body on",
    )
    queue_images: int = Field(64, ge=1, le=100_000, description="images that may wait")
    max_batch_images: int = Field(16, ge=1, le=256, description="images of one batch request")
    max_connections: int = Field(512, ge=1, le=100_000, description="open connections")
    header_timeout_ms: int = Field(10_000, ge=1, le=3_600_000, description="time of a head")
    idle_timeout_ms: int = Field(75_000, ge=1, le=3_600_000, description="keep-alive")
    body_idle_timeout_ms: int = Field(10_000, ge=1, le=3_600_000, description="silence in a body")
    body_min_rate: int = Field(1024, ge=0, le=2**30, description="bytes a second of a body")
    drain_delay_ms: int = Field(2000, ge=0, le=600_000, description="goes on after SIGTERM")
    grace_ms: int = Field(20_000, ge=0, le=600_000, description="time to finish what is in flight")
    hang_ms: int = Field(60_000, ge=1, le=3_600_000, description="an image takes no longer")
    decode_threads: int = Field(2, ge=1, le=64, description="pictures decoded at the same time")
    max_body_bytes: int = Field(
        32 * 2**20, ge=1024, le=2**30, description="bytes of a request's body"
    )
    max_pixels: int = Field(
        25_000_000, ge=1, le=89_000_000, description="pixels of a picture, by its header"
    )
    max_scans: int = Field(20, ge=1, le=10_000, description="scans of a progressive JPEG")
    body_timeout_ms: int = Field(
        10_000, ge=1, le=3_600_000, description="time for a request's body to arrive"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe message that is logged"
    )
    log_format: Literal["json", "text"] = Field(
        "json", description="one JSON object or one plain line per message"
    )

    @property
    def image_limits(self) -> ImageLimits:
        """The limits of the picture decoder."""
        return ImageLimits(
            max_bytes=self.max_body_bytes, max_pixels=self.max_pixels, max_scans=self.max_scans
        )


def read_settings(**overrides: Any) -> Settings:
    """Settings from the environment; `overrides` are field names with values that win over it.

    Raises:
        InvalidSettings: names each wrong variable, its value and what is allowed.
    """
    try:
        return Settings(**overrides)
    except ValidationError as fault:
        lines = [
            f"{name_variable(str(error['loc'][0]))}: {error['msg'][:1].lower()}{error['msg'][1:]}; "
            f"found {str(error['input'])[:60]!r}"
            for error in fault.errors()
        ]
        raise InvalidSettings("\n".join(lines)) from fault


def name_variable(field: str) -> str:
    """The environment variable of a field: `port` -> `BNN_PORT`."""
    return PREFIX + field.upper()


def list_unknown_variables() -> list[str]:
    """BNN_ variables in the environment that nothing here reads: most likely misspelt."""
    known = {name_variable(field) for field in Settings.model_fields} | KERNEL_SETTINGS.keys()
    return sorted(
        name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known
    )


def describe_settings() -> str:
    """The table of environment settings that --help prints."""
    lines = []
    for field, info in Settings.model_fields.items():
        default = "" if info.is_required() or info.default_factory else f" [{info.default}]"
        lines.append(f"  {name_variable(field):<26} {info.description}{default}")
    lines += [f"  {name:<26} {text}" for name, text in KERNEL_SETTINGS.items()]
    return "environment settings [default]:\n" + "\n".join(lines)
