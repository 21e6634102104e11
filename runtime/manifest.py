"""manifest.json: what a bundle says of itself, parsed whole or refused by name, and its digest.

Each change of what a manifest may hold is a format of its own. Readers take all of them up to
NEWEST_FORMAT, and refuse higher ones and keys that a format has not. runtime/README.md describes
the keys.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

from runtime.canonical_json import canonical, parse_strictly
from runtime.errors import (
    REEXPORT,
    ChecksumMismatch,
    InvalidManifest,
    MissingFile,
    UnsupportedFormat,
)
from runtime.hierarchy import HedgeFigures, Hierarchy, Level, LevelFigures, Node
from runtime.images import Preprocessing
from runtime.known import Known, KnownFigures
from runtime.plan import Plan, check_network, parse_plan

FORMAT = 3  # of what is written, unless it has a key of a later one
KNOWN_FORMAT = 4  # the first that may have `known`; earlier builds read the others as before
NEWEST_FORMAT = 5  # the first that may have `hierarchy`
MANIFEST = "manifest.json"
FLOAT_ORDER = 2  # BNN_FLOAT_ORDER of csrc/bnn.h, the number that an export records

MAX_MANIFEST_BYTES = 4 * 2**20
MAX_TEXT = 200  # characters of a label or a file name
TEMPERATURES = (0.01, 100.0)

_FIRST_KEYS = (
    *("format", "name", "trained", "architecture", "input", "preprocessing", "labels"),
    *("training", "parity", "files", "created", "plan"),
)
# Format -> the keys that it needs, and those that it may have.
_KEYS = {
    1: (_FIRST_KEYS, ("temperature", "quantization")),
    2: ((*_FIRST_KEYS, "temperature", "float_order", "digest"), ("quantization",)),
    3: ((*_FIRST_KEYS, "temperature", "float_order", "digest"), ("quantization", "reduction")),
    4: (
        (*_FIRST_KEYS, "temperature", "float_order", "digest"),
        ("quantization", "reduction", "known"),
    ),
    5: (
        (*_FIRST_KEYS, "temperature", "float_order", "digest"),
        ("quantization", "reduction", "known", "hierarchy"),
    ),
}
_REDUCE_FORMAT = 3  # the first whose preprocessing may reduce


@dataclass(frozen=True)
class FileEntry:
    """The manifest's record of a file."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """The bundle's description of itself."""

    name: str
    architecture: dict[str, Any]
    input: tuple[int, int, int]  # channels, height, width
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    plan: Plan  # empty for a network that only the ONNX graph describes
    files: dict[str, FileEntry]
    trained: bool
    training: dict[str, Any] | None
    parity: dict[str, Any] = field(default_factory=dict)
    quantization: dict[str, Any] | None = None  # of the float layers; None: there is none
    reduction: dict[str, Any] | None = None  # what preprocessing.reduce changes; None: not measured
    created: dict[str, Any] = field(default_factory=dict)
    temperature: float = 1.0  # scores are softmax(logits / temperature)
    known: Known | None = None  # how "none of these" is told; None: it is not
    hierarchy: Hierarchy | None = None  # what answers may be hedged with; None: they cannot be
    float_order: int | None = FLOAT_ORDER  # of the stored logits; None: format 1 has no number
    format: int = FORMAT

    @property
    def classes(self) -> int:
        return len(self.labels)

    @property
    def logits(self) -> int:
        """How many the network has: one for each label, and perhaps a last one for none of them."""
        return self.classes + (self.known.extra_logits if self.known else 0)


def read_manifest(file: Path) -> Manifest:
    """Reads, parses and checks a manifest, including its digest.

    Raises MissingFile, UnsupportedFormat, InvalidManifest, ChecksumMismatch, OSError.
    """
    if not file.is_file():
        raise MissingFile(
            f"{file}: expected a bundle's manifest, found none. Give the directory that "
            "models.export or models.train --folder wrote."
        )
    with file.open("rb") as stream:
        text = stream.read(MAX_MANIFEST_BYTES + 1)
    if len(text) > MAX_MANIFEST_BYTES:
        raise InvalidManifest(
            f"{file}: expected at most {MAX_MANIFEST_BYTES} bytes, found more. {REEXPORT}"
        )
    try:
        content = parse_strictly(text)
    except (ValueError, RecursionError) as error:
        raise InvalidManifest(f"{file}: expected JSON, found {error}. {REEXPORT}") from error
    if not isinstance(content, dict) or type(content.get("format")) is not int:
        raise InvalidManifest(
            f"{file}: expected an object with a whole number `format`. {REEXPORT}"
        )
    if content["format"] not in _KEYS:
        older = ", ".join(str(number) for number in _KEYS if number < NEWEST_FORMAT)
        raise UnsupportedFormat(
            f"{file} says format {content['format']}; this build reads {older} and "
            f"{NEWEST_FORMAT}. Export the bundle again with this version's models.export, or "
            "upgrade."
        )
    try:
        manifest = _parse(content)
        found = find_digest(content)
    except InvalidManifest as error:  # of a part, which does not know the file
        raise InvalidManifest(f"{file}: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InvalidManifest(
            f"{file}: expected the keys of format {content['format']}, found {what}. {REEXPORT}"
        ) from error
    if manifest.format > 1 and found != content["digest"]:
        raise ChecksumMismatch(
            f"{file}: expected values with the digest {str(content['digest'])[:64]}, found some "
            f"with {found}: they were changed after the export. {REEXPORT}"
        )
    return manifest


def find_digest(content: Mapping[str, Any]) -> str:
    """The hex SHA-256 of the canonical form of a manifest without its key `digest`.

    Raises ValueError and others for values without a canonical form.
    """
    rest = {key: value for key, value in content.items() if key != "digest"}
    return hashlib.sha256(canonical(rest)).hexdigest()


def write_manifest(file: Path, manifest: Manifest, files: Mapping[str, FileEntry]) -> None:
    """Writes a manifest that lists `files`, of the oldest format that has its keys, from FORMAT on.

    Raises ValueError for a value that JSON lacks.
    """
    content = {
        "format": _choose_format(manifest),
        "name": manifest.name,
        "trained": manifest.trained,
        "architecture": manifest.architecture,
        "input": {"shape": list(manifest.input), "dtype": "float32"},
        "preprocessing": {**asdict(manifest.preprocessing), "channel_order": "RGB"},
        "labels": list(manifest.labels),
        "temperature": manifest.temperature,
        "training": manifest.training,
        "parity": manifest.parity,
        **({"quantization": manifest.quantization} if manifest.quantization else {}),
        **({"reduction": manifest.reduction} if manifest.reduction else {}),
        **({"known": _known_as_json(manifest.known)} if manifest.known else {}),
        **({"hierarchy": _hierarchy_as_json(manifest.hierarchy)} if manifest.hierarchy else {}),
        "float_order": FLOAT_ORDER if manifest.float_order is None else manifest.float_order,
        "files": {name: asdict(entry) for name, entry in files.items()},
        "created": manifest.created,
        "plan": manifest.plan.as_json(),
    }
    content["digest"] = find_digest(content)
    file.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def is_manifest(file: Path) -> bool:
    """Whether a file looks like a bundle's manifest, of any format."""
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and {"format", "files", "plan"} <= content.keys()


def _parse(content: dict[str, Any]) -> Manifest:
    _check_keys(content, *_KEYS[content["format"]])
    image, preprocessing = _object(content, "input"), _object(content, "preprocessing")
    _check_keys(image, ("shape", "dtype"))
    files, training = _object(content, "files"), content["training"]
    shape = tuple(_whole(n) for n in image["shape"])
    if len(shape) != 3 or shape[0] != 3 or image["dtype"] != "float32":
        raise ValueError(f"input {image} instead of float32 with 3 channels, height, width")
    if preprocessing.pop("channel_order") != "RGB":
        raise ValueError("a channel_order that is not RGB")
    if content["format"] < _REDUCE_FORMAT and "reduce" in preprocessing:
        raise ValueError("the unknown key 'preprocessing.reduce'")
    if content["format"] >= _REDUCE_FORMAT:
        preprocessing["reduce"]  # needed
    pixels = Preprocessing(**preprocessing)
    if shape[1:] != (pixels.crop, pixels.crop):
        raise ValueError(f"a crop of {pixels.crop} for an input of {shape[1]} x {shape[2]}")
    labels, plan = content["labels"], parse_plan(content["plan"])
    if not isinstance(labels, list) or not labels:
        raise ValueError("labels that are not a list of texts")
    if not isinstance(content["trained"], bool):
        raise ValueError("`trained` that is neither true nor false")
    if content["trained"] != (training is not None):
        raise ValueError("`trained` that does not fit `training`: a record, or null if untrained")
    quantization, reduction = content.get("quantization"), content.get("reduction")
    records = {"training": training, "quantization": quantization, "reduction": reduction}
    for key, value in records.items():
        if value is not None and not isinstance(value, dict):
            raise ValueError(f"`{key}` that is neither an object nor null")
    for entry in files.values():
        _check_keys(entry, ("sha256", "bytes"))
    known = _parse_known(content["known"]) if content.get("known") is not None else None
    hierarchy = content.get("hierarchy")
    if hierarchy is not None:
        hierarchy = _parse_hierarchy(hierarchy)
        hierarchy.check_labels(labels)
    if plan:
        check_network(plan, shape, len(labels) + (known.extra_logits if known else 0))
    return Manifest(
        name=_name(content["name"]),
        architecture=_object(content, "architecture"),
        input=(shape[0], shape[1], shape[2]),
        preprocessing=pixels,
        labels=tuple(_name(label) for label in labels),
        plan=plan,
        files={
            _text(name): FileEntry(_text(entry["sha256"]), _whole(entry["bytes"]))
            for name, entry in files.items()
        },
        trained=content["trained"],
        training=training,
        parity=_object(content, "parity"),
        quantization=quantization,
        reduction=reduction,
        created=_object(content, "created"),
        temperature=_temperature(content.get("temperature", 1.0)),
        known=known,
        hierarchy=hierarchy,
        float_order=_whole(content["float_order"]) if content["format"] > 1 else None,
        format=content["format"],
    )


def _choose_format(manifest: Manifest) -> int:
    if manifest.hierarchy:
        return NEWEST_FORMAT
    return KNOWN_FORMAT if manifest.known else FORMAT


def _known_as_json(known: Known) -> dict[str, Any]:
    content = asdict(known)
    if known.measured is None:
        del content["measured"]
    return content


def _parse_known(content: object) -> Known:
    _check_keys(content, ("source", "slope", "offset", "threshold"), ("measured",))
    rest = dict(cast(dict[str, Any], content))
    measured = rest.pop("measured", None)
    if measured is not None:
        _check_keys(measured, [field.name for field in fields(KnownFigures)])
    known = Known(**rest, measured=measured and KnownFigures(**measured))
    return replace(known, slope=float(known.slope), offset=float(known.offset))


def _hierarchy_as_json(hierarchy: Hierarchy) -> dict[str, Any]:
    content = asdict(hierarchy)
    content["labels"] = content.pop("parents")
    content["levels"] = [
        {"certainty": level.certainty, "lambda": level.bonus} for level in hierarchy.levels
    ]
    return {key: value for key, value in content.items() if value is not None}


def _parse_hierarchy(content: Any) -> Hierarchy:
    _check_keys(content, ("nodes", "labels", "levels", "images"), ("notice", "measured"))
    nodes, levels, measured = content["nodes"], content["levels"], content.get("measured")
    for node in _list(nodes):
        _check_keys(node, ("name", "phrase", "parents"))
    for level in _list(levels):
        _check_keys(level, ("certainty", "lambda"))
    figures = None
    if measured is not None:
        _check_keys(measured, [field.name for field in fields(HedgeFigures)])
        for level in _list(measured["levels"]):
            _check_keys(level, [field.name for field in fields(LevelFigures)])
        parsed = tuple(
            LevelFigures(**{key: _float(value) for key, value in level.items()})
            for level in measured["levels"]
        )
        figures = HedgeFigures(**{**measured, "levels": parsed})
    return Hierarchy(
        nodes=tuple(
            Node(node["name"], node["phrase"], tuple(map(_text, _list(node["parents"]))))
            for node in nodes
        ),
        parents=tuple(tuple(map(_text, _list(names))) for names in _list(content["labels"])),
        levels=tuple(Level(level["certainty"], _float(level["lambda"])) for level in levels),
        images=content["images"],
        notice=content.get("notice"),
        measured=figures,
    )


def _check_keys(content: Any, needed: Iterable[str], optional: Iterable[str] = ()) -> None:
    """Refuses keys that the format lacks, and names a missing one."""
    if not isinstance(content, dict):
        raise ValueError(f"{repr(content)[:80]} where an object is expected")
    known = {*needed, *optional}
    for key in content:
        if key not in known:
            raise ValueError(f"the unknown key {key[:80]!r}")
    for key in needed:
        content[key]


def _object(content: dict[str, Any], key: str) -> dict[str, Any]:
    if not isinstance(content[key], dict):
        raise ValueError(f"{key!r} that is not an object")
    return dict(content[key])


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{repr(value)[:80]} where a list is expected")
    return value


def _float(value: Any) -> Any:
    """A whole number as the fraction that it is written for; anything else as it is."""
    return float(value) if type(value) is int and abs(value) < 2**53 else value


def _text(value: object) -> str:
    """A text of printable characters: it goes into logs, metrics and answers."""
    if not isinstance(value, str) or not value.isprintable() or len(value) > MAX_TEXT:
        raise ValueError(f"{repr(value)[:80]} where a printable text is expected")
    return value


def _name(value: object) -> str:
    """A text that names something."""
    text = _text(value)
    if not text.strip():
        raise ValueError(f"{text!r} where a name is expected")
    return text


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError(f"{repr(value)[:80]} where a whole number is expected")
    return value


def _temperature(value: object) -> float:
    low, high = TEMPERATURES
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"a temperature of {repr(value)[:80]} instead of {low} to {high}")
    return float(value)
