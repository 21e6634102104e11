"""The file of API keys: names with the SHA-256 of a key, rate and burst; and new keys for it."""

import hashlib
import re
import secrets
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from service.settings.toml_file import InvalidToml, find_nearest, format_value, parse_toml

_PREFIX = "bnn_"  # lets scanners for leaked secrets find it
_RANDOM_BYTES = 32
# Shorter than a key, so that none is taken for a name, and logged.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_NAME_FORM = "1 to 40 letters, digits, - and _"


class KeyEntry(BaseModel):
    """One key of the file. `rate` in images a second, `burst` in images."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    sha256: str = Field(pattern=r"^[0-9a-fA-F]{64}$")
    rate: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = None
    burst: Annotated[float, Field(ge=1, le=1e6, allow_inf_nan=False)] | None = None
    change_models: bool = False  # may load and unload models

    @model_validator(mode="after")
    def _check_burst(self) -> "KeyEntry":
        if self.burst is not None and self.rate is None:
            raise PydanticCustomError("burst", "Input should have a rate where it has a burst")
        return self

    @property
    def digest(self) -> bytes:
        return bytes.fromhex(self.sha256)

    @property
    def capacity(self) -> float:
        """Max images at once after a pause; by default those of a second."""
        return self.burst if self.burst is not None else max(1.0, self.rate or 0.0)


def parse_keys(content: bytes, path: Path) -> dict[str, KeyEntry]:
    """The keys by name. Raises InvalidToml, which quotes no values and no wrong names."""
    document = parse_toml(content, path)
    tables = document.pop("keys", {})
    if document or not isinstance(tables, dict) or not tables:
        raise InvalidToml(
            f"{path}: expected tables [keys.NAME], one for each key, and nothing else; found "
            f"{'more than them' if document else 'none'}. `make-key NAME` prints one"
        )
    entries: dict[str, KeyEntry] = {}
    names: dict[bytes, str] = {}
    for position, (name, table) in enumerate(tables.items(), 1):
        if not _NAME.fullmatch(name):
            raise InvalidToml(
                f"{path}: expected a name of {_NAME_FORM} for key {position}; found another"
            )
        if not isinstance(table, dict):
            raise InvalidToml(f"{path}: keys.{name}: expected a table; found another type")
        try:
            entry = KeyEntry(**table)
        except ValidationError as fault:
            raise InvalidToml(f"{path}: {_describe_faults(fault, f'keys.{name}')}") from None
        if (other := names.setdefault(entry.digest, name)) != name:
            raise InvalidToml(
                f"{path}: expected a key of its own for each name; found one for {other}, {name}"
            )
        entries[name] = entry
    return entries


def make_key(
    name: str,
    rate: float | None = None,
    burst: float | None = None,
    change_models: bool = False,
) -> tuple[str, str]:
    """A new random key, and the lines of a keys file that allow it. Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"expected a name of {_NAME_FORM}; found another")
    key = _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    digest = hashlib.sha256(key.encode()).hexdigest()
    try:
        entry = KeyEntry(sha256=digest, rate=rate, burst=burst, change_models=change_models)
    except ValidationError as fault:
        raise ValueError(_describe_faults(fault, name)) from fault
    fields = entry.model_dump(exclude_none=True, exclude_defaults=True).items()
    return key, "\n".join(
        [f"[keys.{name}]", *(f"{field} = {format_value(value)}" for field, value in fields)]
    )


def _describe_faults(fault: ValidationError, name: str) -> str:
    """The fault of one key, without its values."""
    texts = []
    for error in fault.errors(include_input=False, include_url=False):
        place = ".".join([name, *(str(part) for part in error["loc"][:1])])
        if error["type"] == "extra_forbidden":  # it may be a key in the wrong place: not quoted
            nearest = find_nearest(str(error["loc"][0]), KeyEntry.model_fields)
            hint = f"; did you mean {nearest}?" if nearest else ""
            known = ", ".join(KeyEntry.model_fields)
            texts.append(f"{name}: expected {known}; found another name{hint}")
        elif error["type"] == "string_pattern_mismatch":
            texts.append(f"{place}: expected the 64 hexadecimal digits of a key's SHA-256")
        else:
            texts.append(f"{place}: {error['msg'][:1].lower()}{error['msg'][1:]}")
    return "; ".join(texts)
