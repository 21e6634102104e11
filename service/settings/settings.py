"""Every setting of the service: one class, read from BNN_ variables and a file, never at import."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from runtime import IMPLEMENTATIONS, ImageLimits
from service.settings.setting_types import Bytes, HostPatterns, Origins
from service.settings.toml_file import InvalidToml, find_nearest, parse_toml, read_bytes
from service.system.cgroup import read_memory_limit
from service.system.cpu import count_cpus
from service.system.memory import read_machine_memory

PREFIX = "BNN_"
#: Names the settings file; --config on the command line overrides it.
CONFIG_VARIABLE = "BNN_CONFIG"
#: Read by the kernel library, not here; documented with the others.
KERNEL_SETTINGS = {
    "BNN_FORCE_IMPLEMENTATION": f"kernels to use: {', '.join(IMPLEMENTATIONS[:-1])} or "
    f"{IMPLEMENTATIONS[-1]}; unset: the best that this CPU can run",
    "BNN_FORCE_KERNEL": "family of binary convolutions, for measurements: popcount or sliced; "
    "unset: chosen for each stage",
}
#: Variables that are no fields of Settings, with their descriptions.
OTHER_VARIABLES = {
    CONFIG_VARIABLE: "TOML file of settings, with these names in lower case and without BNN_; "
    "variables override it",
    **KERNEL_SETTINGS,
}
_RENAMED = {
    "body_timeout_ms": "it is replaced by body_idle_timeout_ms, for pauses while a body arrives, "
    "and body_min_rate; steady bodies may take longer",
}
_DEFAULT_BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "default"
_MAX_DEFAULT_THREADS = 4  # with more, a single small image is hardly faster
#: The max of X-Deadline-Ms and BNN_DEADLINE_MS.
MAX_DEADLINE_MS = 60_000
#: Threads of the server, or processes of a bulk run.
MAX_WORKERS = 256
_MAX_CONNECTIONS = 65_536
_HOUR_MS = 3_600_000
# What Kubernetes and Docker write into a variable that links to a service.
_LINK = re.compile(r"(tcp|udp|sctp)://")


class InvalidSettings(Exception):
    """A setting has a value that is not allowed; the text names the origin of each one."""


def _default_workers() -> int:
    return min(count_cpus(), MAX_WORKERS)


def _default_threads() -> int:
    return min(count_cpus(), _MAX_DEFAULT_THREADS)


def _default_memory_budget() -> int:
    limit, machine = read_memory_limit(), read_machine_memory()
    if limit is not None and (machine is None or limit < machine):
        return limit
    if machine is None:
        raise InvalidSettings(
            f"{name_variable('memory_budget')}: expected a number of bytes, as this system does "
            "not tell how much memory it has; found none"
        )
    return machine // 2


class Settings(BaseSettings):
    """The service's settings. Read them with `read_settings`, which explains what is wrong."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0: any free one")
    bundle: Path = Field(
        _DEFAULT_BUNDLE,
        description="directory of the default model, used if a request names no other",
    )
    models: Path | None = Field(
        None,
        description="directory of more models: each folder in it is a bundle, served under the "
        "folder's name; none: only the default model",
    )
    engine: Literal["auto", "native", "torchscript", "onnx"] = Field(
        "auto",
        description="auto: the first of native, torchscript, onnx that can run, every skipped one "
        "is reported; a name: this one, or the start fails",
    )

    # ---- work in parallel
    workers: int = Field(
        default_factory=_default_workers,
        ge=1,
        le=MAX_WORKERS,
        description="images processed at the same time, one thread each; default: usable CPUs",
    )
    threads: int = Field(
        default_factory=_default_threads,
        ge=1,
        le=256,
        description="threads of one inference if no other image is there; default: usable CPUs, "
        f"at most {_MAX_DEFAULT_THREADS}",
    )
    decode_threads: int = Field(
        default_factory=lambda known: known["workers"],
        ge=1,
        le=MAX_WORKERS,
        description="images decoded at the same time; default: workers",
    )
    queue_images: int = Field(64, ge=1, le=10_000, description="max number of waiting images")
    max_batch_images: int = Field(
        default_factory=lambda known: min(16, known["queue_images"]),
        ge=1,
        le=1024,
        description="max number of images in one request; default: 16, at most queue_images",
    )
    memory_budget: Bytes = Field(
        default_factory=_default_memory_budget,
        ge=2**20,
        le=2**50,
        description="memory that the process may use, in bytes or as 256MiB; default: the "
        "container's limit, else half of the machine's memory",
    )

    # ---- one request
    deadline_ms: int = Field(
        3000,
        ge=1,
        le=MAX_DEADLINE_MS,
        description="time from the complete body of a request to its answer, unless the request "
        "has X-Deadline-Ms",
    )
    max_body_bytes: Bytes = Field(
        32 * 2**20, ge=1024, le=2**30, description="max size of a request's body, in bytes"
    )
    max_pixels: int = Field(
        25_000_000, ge=1, le=89_000_000, description="max pixels of an image, by its header"
    )
    max_scans: int = Field(
        20, ge=1, le=10_000, description="max number of scans of a progressive JPEG"
    )

    # ---- connections
    max_connections: int = Field(
        default_factory=lambda known: max(512, 2 * (known["queue_images"] + known["workers"])),
        ge=8,
        le=_MAX_CONNECTIONS,
        description="max number of connections; default: 512, but at least twice queue_images + "
        "workers",
    )
    header_timeout_ms: int = Field(
        10_000, ge=1, le=_HOUR_MS, description="max time for the head of a request to arrive"
    )
    idle_timeout_ms: int = Field(
        75_000,
        ge=1,
        le=_HOUR_MS,
        description="pause between two requests after which a connection is closed; the default is "
        "above the 60 s of common proxies",
    )
    body_idle_timeout_ms: int = Field(
        10_000, ge=1, le=_HOUR_MS, description="max pause while the body of a request arrives"
    )
    body_min_rate: Bytes = Field(
        1024,
        ge=0,
        le=2**30,
        description="min average rate of a body after its first 10 s, in bytes per second; 0: any",
    )

    # ---- shutdown, and hanging workers
    drain_delay_ms: int = Field(
        2000,
        ge=0,
        le=600_000,
        description="time after SIGTERM in which new requests are still accepted while /readyz "
        "says no; 0 if a preStop hook waits",
    )
    grace_ms: int = Field(
        20_000, ge=0, le=_HOUR_MS, description="time after that to finish requests in progress"
    )
    hang_ms: int = Field(
        60_000,
        ge=1,
        le=_HOUR_MS,
        description="time for one image after which a worker counts as hanging: /livez says no",
    )

    # ---- access
    api_keys_file: Path | None = Field(
        None, description="TOML file of API keys; none: everyone may send requests"
    )
    allowed_hosts: HostPatterns = Field(
        (),
        description="Host names that requests may use: names, *.names, addresses, networks, "
        "separated by commas, or *; none: on a loopback address the machine's own names, elsewhere "
        "every name",
    )
    cors_origins: Origins = Field(
        (),
        description="origins whose web pages may call the service, separated by commas, or *; "
        "none: only its own",
    )

    # ---- log
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="lowest level of messages that are logged"
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto",
        description="one JSON object or one plain line per message; auto: text at a terminal, "
        "else json",
    )

    @property
    def image_limits(self) -> ImageLimits:
        """The limits of the image decoder."""
        return ImageLimits(
            max_bytes=self.max_body_bytes, max_pixels=self.max_pixels, max_scans=self.max_scans
        )

    @model_validator(mode="after")
    def _check_relations(self) -> Self:
        """Checks values that are allowed alone but not together."""
        conflicts = list(self._list_conflicts())
        if conflicts:
            text = "; ".join(why for why, _ in conflicts)
            found = {
                field: getattr(self, field) for _, fields in conflicts for field in fields.split()
            }
            raise PydanticCustomError("relation", "{text}", {"text": text, "found": found})
        return self

    def _list_conflicts(self) -> Iterator[tuple[str, str]]:
        """Each conflict, and the fields that are involved."""
        if self.hang_ms < self.deadline_ms:
            yield (
                "expected hang_ms to be at least deadline_ms: images may take that long, and a "
                "service that is only busy would be restarted",
                "hang_ms deadline_ms",
            )
        if self.max_batch_images > self.queue_images:
            yield (
                "expected max_batch_images to be at most queue_images: there would never be room "
                "for the largest request",
                "max_batch_images queue_images",
            )
        if self.max_connections <= self.queue_images + self.workers:
            yield (
                "expected max_connections to be above queue_images + workers: connections would be "
                "refused before requests could be told that the service is busy",
                "max_connections queue_images workers",
            )


@dataclass(frozen=True)
class Origin:
    """Where a setting comes from; `name` is the option, the variable or the file."""

    kind: Literal["option", "variable", "file", "default"]
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".rstrip()


@dataclass(frozen=True)
class Configuration:
    """The effective settings, and the origin of each field."""

    settings: Settings
    origins: Mapping[str, Origin]


def read_settings(config: Path | None = None, /, **overrides: Any) -> Settings:
    """The settings of `read_configuration`."""
    return read_configuration(config, **overrides).settings


def read_configuration(config: Path | None = None, /, **overrides: Any) -> Configuration:
    """Reads settings from the command line (`overrides`), the environment, a file, defaults.

    `config` is the file; None: the one that BNN_CONFIG names, if any. The first of these sources
    that has a setting wins.

    Raises:
        InvalidSettings: names each wrong value, where it comes from and what is allowed.
    """
    for field, text in _RENAMED.items():
        if os.environ.get(name_variable(field)):
            raise InvalidSettings(f"{name_variable(field)}: there is no such setting; {text}")
    if config is None and (named := os.environ.get(CONFIG_VARIABLE)):
        config = Path(named)
    filed = {} if config is None else _read_file(config)
    from_environment = EnvSettingsSource(Settings)()
    origins = dict.fromkeys(Settings.model_fields, Origin("default", ""))
    origins |= {field: Origin("file", str(config)) for field in filed}
    origins |= {field: Origin("variable", name_variable(field)) for field in from_environment}
    origins |= {field: Origin("option", f"--{field.replace('_', '-')}") for field in overrides}
    given = filed | from_environment | overrides
    try:
        return Configuration(Settings(**given), origins)
    except ValidationError as fault:
        lines = [_describe_fault(error, origins, given) for error in fault.errors()]
        raise InvalidSettings("\n".join(filter(None, lines))) from fault


def _read_file(path: Path) -> dict[str, Any]:
    """The values of a settings file by field, without empty ones, as for variables."""
    try:
        values = parse_toml(read_bytes(path), path)
    except InvalidToml as fault:
        raise InvalidSettings(str(fault)) from fault
    lines = []
    for key, value in values.items():
        if key in _RENAMED:
            lines.append(f"{path}: {key}: there is no such setting; {_RENAMED[key]}")
        elif key not in Settings.model_fields:
            bare = key.lower().removeprefix(PREFIX.lower())
            nearest = find_nearest(bare, Settings.model_fields)
            hint = f"did you mean {nearest}?" if nearest else "--help lists them"
            lines.append(f"{path}: {key[:60]!r}: there is no such setting; {hint}")
        elif isinstance(value, bool):  # pydantic would read true as 1
            lines.append(f"{path}: {key}: expected another type; found {str(value).lower()}")
    if lines:
        raise InvalidSettings("\n".join(lines))
    return {key: value for key, value in values.items() if value != ""}


def _describe_fault(
    error: ErrorDetails, origins: Mapping[str, Origin], given: Mapping[str, Any]
) -> str:
    """One line: origin, expected, found; "" for a fault that only follows from another one."""
    if error["type"] == "default_factory_not_called":
        return ""
    if error["type"] == "relation":
        found = (
            f"{field} = {value} ({origins[field]})"
            for field, value in error["ctx"]["found"].items()
        )
        return f"{error['msg']}; found {', '.join(found)}"
    field = str(error["loc"][0])
    origin = origins[field]
    place = f"{origin.name}: {field}" if origin.kind == "file" else origin.name
    text = f"{error['msg'][:1].lower()}{error['msg'][1:]}"
    value = str(given[field])
    line = f"{place}: {text}; found {value[:60]!r}"
    if origin.kind == "variable" and _LINK.match(value):
        line += (
            f". Kubernetes sets it for a Service named {origin.name.removesuffix('_PORT').lower()} "
            "(service links): set enableServiceLinks: false in the Pod, or rename the Service"
        )
    return line


def name_variable(field: str) -> str:
    """The environment variable of a field: `port` -> `BNN_PORT`."""
    return PREFIX + field.upper()


def describe_settings() -> str:
    """The table of settings that --help prints."""
    lines = []
    for field, info in Settings.model_fields.items():
        default = "" if info.default_factory or info.default in (None, ()) else f" [{info.default}]"
        lines.append(f"  {name_variable(field):<26} {info.description}{default}")
    lines += [f"  {name:<26} {text}" for name, text in OTHER_VARIABLES.items()]
    return "environment settings [default]:\n" + "\n".join(lines)
