"""The bundle: a directory with manifest, weights and graphs; read and verified here, written here.

Format 1. `manifest.json` describes everything else and has the sha256 and size of each file;
`packed.safetensors` holds every weight once; `model.ts` and `model.onnx` are graphs that refer to
it. Nothing in a bundle is executed or unpickled by reading it. Whatever is wrong has a named error
(runtime.errors) that says expected, found, remedy.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import (
    ChecksumMismatch,
    InvalidManifest,
    InvalidRecord,
    MissingFile,
    OversizedHeader,
    PathOutsideBundle,
    TruncatedFile,
    UnsupportedFormat,
)
from runtime.preprocess import Preprocessing

FORMAT = 1
MANIFEST = "manifest.json"
WEIGHTS = "packed.safetensors"
ONNX_GRAPH = "model.onnx"
TORCHSCRIPT_GRAPH = "model.ts"
FILES = frozenset({MANIFEST, WEIGHTS, ONNX_GRAPH, TORCHSCRIPT_GRAPH})

MAX_MANIFEST_BYTES = 4 * 2**20
MAX_HEADER_BYTES = 2**20  # a 59's header has about 60 KB
MAX_FILE_BYTES = 2**30
MAX_TEXT = 200  # characters of a label or a file name
MAX_DIMENSIONS = 8
TEMPERATURES = (0.01, 100.0)
DTYPES: dict[str, np.dtype[Any]] = {  # of format 1
    name: np.dtype(code) for name, code in (("F32", "<f4"), ("U32", "<u4"), ("I8", "i1"))
}

REEXPORT = "Export the bundle again with python -m models.export, or copy it again."


@dataclass(frozen=True)
class FileEntry:
    """What the manifest records of a file."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """The bundle's description of itself; its keys are described in runtime/README.md."""

    name: str
    architecture: dict[str, Any]
    input: tuple[int, int, int]  # channels, height, width
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    plan: tuple[dict[str, Any], ...]  # () for a network that only the ONNX graph describes
    files: dict[str, FileEntry]
    trained: bool
    training: dict[str, Any] | None
    parity: dict[str, Any] = field(default_factory=dict)
    quantization: dict[str, Any] | None = None  # of the float parts; None: there is none
    created: dict[str, Any] = field(default_factory=dict)
    temperature: float = 1.0  # scores are softmax(logits / temperature)
    format: int = FORMAT

    @property
    def classes(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Bundle:
    """A verified directory and its manifest."""

    path: Path
    manifest: Manifest

    def file(self, name: str) -> Path:
        """The path of a file that the manifest lists. Raises MissingFile."""
        if name not in self.manifest.files:
            raise MissingFile(
                f"{self.path}: the manifest lists no {name}; found "
                f"{', '.join(self.manifest.files)}. "
                "This bundle has no graph for that engine."
            )
        return self.path / name

    def tensors(self) -> dict[str, np.ndarray]:
        """The weights by name, read-only views of one mapped file.

        Raises InvalidRecord and others.
        """
        return read_tensors(self.file(WEIGHTS))


def read_bundle(path: str | Path) -> Bundle:
    """Reads the manifest and verifies name, size and sha256 of every file it lists.

    Raises MissingFile, UnsupportedFormat, InvalidManifest, PathOutsideBundle, TruncatedFile,
    ChecksumMismatch.
    """
    path = Path(path)
    manifest = _read_manifest(path)
    for name, entry in manifest.files.items():
        _verify_file(path, name, entry)
    return Bundle(path, manifest)


def _read_manifest(path: Path) -> Manifest:
    file = path / MANIFEST
    if not file.is_file():
        raise MissingFile(
            f"{file}: expected a bundle's manifest, found none. Give the directory that "
            "models.export wrote."
        )
    if (size := file.stat().st_size) > MAX_MANIFEST_BYTES:
        raise InvalidManifest(
            f"{file}: {size} bytes; expected at most {MAX_MANIFEST_BYTES}. {REEXPORT}"
        )
    try:
        content = json.loads(file.read_bytes(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidManifest(f"{file}: expected JSON, found {error}. {REEXPORT}") from error
    if not isinstance(content, dict) or type(content.get("format")) is not int:
        raise InvalidManifest(
            f"{file}: expected an object with a whole number `format`. {REEXPORT}"
        )
    if content["format"] != FORMAT:
        raise UnsupportedFormat(
            f"{file} says format {content['format']}; this build reads {FORMAT}. "
            "Export the bundle again with this version's models.export, or upgrade."
        )
    try:
        return _parse_manifest(content)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InvalidManifest(
            f"{file}: expected the keys of format {FORMAT}, found {what}. {REEXPORT}"
        ) from error


def _parse_manifest(content: dict[str, Any]) -> Manifest:
    image, preprocessing = _object(content, "input"), _object(content, "preprocessing")
    files, training = _object(content, "files"), content["training"]
    shape = tuple(_whole(n) for n in image["shape"])
    if len(shape) != 3 or shape[0] != 3 or image["dtype"] != "float32":
        raise ValueError(f"input {image} instead of float32 with 3 channels, height, width")
    if preprocessing.pop("channel_order") != "RGB":
        raise ValueError("a channel_order that is not RGB")
    labels, plan = content["labels"], content["plan"]
    if not isinstance(labels, list) or not labels:
        raise ValueError("labels that are not a list of texts")
    if not isinstance(plan, list) or not all(isinstance(step, dict) for step in plan):
        raise ValueError("a plan that is not a list of objects")
    if not isinstance(content["trained"], bool):
        raise ValueError("`trained` that is neither true nor false")
    quantization = content.get("quantization")  # older bundles have none
    for key, value in (("training", training), ("quantization", quantization)):
        if value is not None and not isinstance(value, dict):
            raise ValueError(f"`{key}` that is neither an object nor null")
    return Manifest(
        name=_text(content["name"]),
        architecture=_object(content, "architecture"),
        input=(shape[0], shape[1], shape[2]),
        preprocessing=Preprocessing(**preprocessing),
        labels=tuple(_text(label) for label in labels),
        plan=tuple(plan),
        files={
            _text(name): FileEntry(_text(entry["sha256"]), _whole(entry["bytes"]))
            for name, entry in files.items()
        },
        trained=content["trained"],
        training=training,
        parity=_object(content, "parity"),
        quantization=quantization,
        created=_object(content, "created"),
        temperature=_temperature(content.get("temperature", 1.0)),  # older bundles have none
        format=content["format"],
    )


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name}, which JSON does not know")


def _object(content: dict[str, Any], key: str) -> dict[str, Any]:
    if not isinstance(content[key], dict):
        raise ValueError(f"{key!r} that is not an object")
    return dict(content[key])


def _text(value: object) -> str:
    """A text of printable characters: it goes into logs, metrics and answers."""
    if not isinstance(value, str) or not value.isprintable() or len(value) > MAX_TEXT:
        raise ValueError(f"{repr(value)[:80]} where a printable text is expected")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise ValueError(f"{repr(value)[:80]} where a whole number is expected")
    return value


def _temperature(value: object) -> float:
    low, high = TEMPERATURES
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"a temperature of {repr(value)[:80]} instead of {low} to {high}")
    return float(value)


def _verify_file(path: Path, name: str, entry: FileEntry) -> None:
    if name in ("", ".", "..", MANIFEST) or "/" in name or "\\" in name or "\0" in name:
        raise PathOutsideBundle(
            f"{path / MANIFEST} lists the file {name!r}; expected plain names inside the "
            f"directory. {REEXPORT}"
        )
    file = path / name
    if not file.is_file():
        raise MissingFile(f"{file}: listed in the manifest, but not there. {REEXPORT}")
    if file.is_symlink() and file.resolve().parent != path.resolve():
        raise PathOutsideBundle(
            f"{file}: links out of the bundle to {file.resolve()}. Copy the file itself."
        )
    size = file.stat().st_size
    if size != entry.bytes or size > MAX_FILE_BYTES:
        raise TruncatedFile(f"{file}: expected {entry.bytes} bytes, found {size}. {REEXPORT}")
    if (found := sha256_of(file)) != entry.sha256:
        raise ChecksumMismatch(f"{file}: expected sha256 {entry.sha256}, found {found}. {REEXPORT}")


def sha256_of(file: Path) -> str:
    """Hex digest of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_header(file: Path) -> tuple[dict[str, Any], int]:
    """(header, start of the data) of a safetensors file.

    Raises MissingFile, TruncatedFile, OversizedHeader, InvalidRecord.
    """
    if not file.is_file():
        raise MissingFile(f"{file}: not there. {REEXPORT}")
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(prefix, "little") if len(prefix := stream.read(8)) == 8 else None
        if length is None:
            raise TruncatedFile(f"{file}: expected at least 8 bytes, found {size}. {REEXPORT}")
        if length > MAX_HEADER_BYTES:
            raise OversizedHeader(
                f"{file}: its header claims {length} bytes; expected at most {MAX_HEADER_BYTES}. "
                f"{REEXPORT}"
            )
        if 8 + length > size:
            raise TruncatedFile(
                f"{file}: expected {8 + length} bytes for the header, found {size}. {REEXPORT}"
            )
        try:
            header = json.loads(stream.read(length))
        except (ValueError, RecursionError) as error:
            raise InvalidRecord(
                f"{file}: expected a JSON header, found {error}. {REEXPORT}"
            ) from error
    if not isinstance(header, dict):
        raise InvalidRecord(f"{file}: expected a JSON object as header. {REEXPORT}")
    header.pop("__metadata__", None)
    return header, 8 + length


def read_tensors(file: Path) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file as read-only views of one memory map, so that pages stay
    shared and reclaimable.

    Format 1 has float32, uint32 and int8 only. Raises MissingFile, TruncatedFile, OversizedHeader,
    InvalidRecord.
    """
    header, start = read_header(file)
    data = np.memmap(file, np.uint8, "r")[start:]
    tensors: dict[str, np.ndarray] = {}
    for name, entry in header.items():
        try:
            dtype = DTYPES[entry["dtype"]]
            shape = tuple(_whole(n) for n in entry["shape"])
            begin, end = (_whole(n) for n in entry["data_offsets"])
            if len(shape) > MAX_DIMENSIONS:
                raise ValueError("too many dimensions")
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidRecord(
                f"{file}: tensor {name!r}: expected dtype ({', '.join(DTYPES)}), shape and "
                f"data_offsets, found {entry!r:.200}. {REEXPORT}"
            ) from error
        needed = dtype.itemsize * math.prod(shape)
        if (
            end - begin != needed
            or begin % dtype.itemsize
            or max(shape, default=0) > MAX_FILE_BYTES
        ):
            raise InvalidRecord(
                f"{file}: tensor {name!r} of {entry['dtype']} {list(shape)} needs {needed} "
                "aligned bytes, found "
                f"{begin}..{end}. {REEXPORT}"
            )
        if end > len(data):
            raise TruncatedFile(
                f"{file}: tensor {name!r} ends at byte {start + end}, the file at "
                f"{start + len(data)}. {REEXPORT}"
            )
        tensors[name] = data[begin:end].view(dtype).reshape(shape)
    return tensors


def write_bundle(path: Path, manifest: Manifest, files: Mapping[str, Path]) -> Bundle:
    """Writes a bundle of `files` (name -> where it lies now) under a temporary name, then renames
    it into place.

    The manifest's `files` are filled in. An existing bundle at `path` is replaced; anything else
    there is refused with FileExistsError (check_replaceable).
    """
    check_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as temporary:
        fresh = Path(temporary) / "bundle"
        fresh.mkdir()
        entries = {}
        for name, source in files.items():
            shutil.copyfile(source, fresh / name)
            entries[name] = FileEntry(sha256_of(fresh / name), (fresh / name).stat().st_size)
        text = json.dumps(manifest_as_json(manifest, entries), indent=1, allow_nan=False)
        (fresh / MANIFEST).write_text(text + "\n")
        bundle = read_bundle(fresh)
        replaced = Path(temporary) / "replaced"
        if path.exists():
            path.rename(replaced)
        try:
            fresh.rename(path)
        except OSError:
            if replaced.exists():
                replaced.rename(path)
            raise
    return Bundle(path, bundle.manifest)


def check_replaceable(path: Path) -> None:
    """Raises FileExistsError unless write_bundle may write here: a bundle and no other file, an
    empty directory or nothing.
    """
    found = {file.name for file in path.iterdir()} if path.is_dir() else {path.name}
    others = sorted(found - FILES)
    if found and not others and not _is_manifest(path / MANIFEST):  # other programs have one, too
        others = [MANIFEST]
    if others and path.exists():
        raise FileExistsError(
            f"{path}: expected a bundle to replace, an empty folder or nothing; found other files "
            f"there: {', '.join(others[:5])}. Choose another folder, or move them away."
        )


def _is_manifest(file: Path) -> bool:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and {"format", "files", "plan"} <= content.keys()


def manifest_as_json(manifest: Manifest, files: Mapping[str, FileEntry]) -> dict[str, Any]:
    """The JSON object of a manifest, keys in reading order."""
    return {
        "format": manifest.format,
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
        "files": {name: asdict(entry) for name, entry in files.items()},
        "created": manifest.created,
        "plan": list(manifest.plan),
    }
