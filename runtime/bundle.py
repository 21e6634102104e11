"""The bundle: a directory with manifest, weights and graphs; read and verified here, written here.

`manifest.json` describes everything else and has the sha256 and size of each file;
`packed.safetensors` holds every weight once; `model.ts` and `model.onnx` are graphs that refer to
it; `self_test.safetensors` has images and the logits they give. Nothing in a bundle is executed or
unpickled by reading it. Whatever is wrong has a named error (runtime.errors) that says expected,
found, remedy.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.errors import (
    REEXPORT,
    ChecksumMismatch,
    MissingFile,
    PathOutsideBundle,
    TruncatedFile,
)
from runtime.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    FileEntry,
    Manifest,
    is_manifest,
    read_manifest,
    write_manifest,
)
from runtime.tensor_file import MAX_FILE_BYTES, read_tensors

logger = logging.getLogger(__name__)

WEIGHTS = "packed.safetensors"
ONNX_GRAPH = "model.onnx"
TORCHSCRIPT_GRAPH = "model.ts"
SELF_TEST = "self_test.safetensors"
FILES = frozenset({MANIFEST, WEIGHTS, ONNX_GRAPH, TORCHSCRIPT_GRAPH, SELF_TEST})


@dataclass(frozen=True)
class Bundle:
    """A verified directory and its manifest."""

    path: Path
    manifest: Manifest

    def file(self, name: str) -> Path:
        """The path of a file that the manifest lists, verified now: a bundle may be replaced
        between reading and use.

        Raises MissingFile, TruncatedFile, ChecksumMismatch.
        """
        if name not in self.manifest.files:
            raise MissingFile(
                f"{self.path}: the manifest lists no {name}; found "
                f"{', '.join(self.manifest.files)}. "
                "This bundle has no graph for that engine."
            )
        _verify_file(self.path, name, self.manifest.files[name])
        return self.path / name

    def tensors(self) -> dict[str, np.ndarray]:
        """The weights by name, read-only views of one mapped file.

        Raises InvalidRecord and others.
        """
        return read_tensors(self.file(WEIGHTS))


def read_bundle(path: str | Path) -> Bundle:
    """Reads the manifest and verifies name, size and sha256 of every file it lists.

    Links are followed, as every byte is verified. The returned path is the directory that they lead
    to, so that it stays the same while it is used, even if a ConfigMap or another directory is
    replaced by changing a link. Raises MissingFile, UnsupportedFormat, InvalidManifest,
    PathOutsideBundle, TruncatedFile, ChecksumMismatch.
    """
    with _named_if_unreadable(path):
        path = _follow_links(Path(path))
        manifest = read_manifest(path / MANIFEST)
    for name, entry in manifest.files.items():
        _verify_file(path, name, entry)
    if manifest.format == 1:
        logger.info(
            "%s has format 1, in which no digest covers the manifest; `python -m models.upgrade "
            "%s --out DIR` adds one, and a self-test",
            *(path, path),
        )
    return Bundle(path, manifest)


def stamp_bundle(path: str | Path) -> bytes | None:
    """A digest of the manifest, which has the sums of all files: it differs for every bundle.

    If the file is too long for a manifest, only its beginning counts. None: there is no readable
    manifest. Pipes and devices are refused, as reading them might never end.
    """
    file = Path(path) / MANIFEST
    try:
        if not file.is_file():
            return None
        with file.open("rb") as stream:
            return hashlib.sha256(stream.read(MAX_MANIFEST_BYTES + 1)).digest()
    except OSError:
        return None


def _follow_links(path: Path) -> Path:
    """The directory in which the manifest lies once all links are followed, if the other files lie
    there too; `path` as it was given if there are no links.
    """
    manifest = Path(os.path.realpath(path / MANIFEST))  # unlike resolve(), it bears circles
    if manifest == (path / MANIFEST).absolute():
        return path
    beside = (manifest.parent / file.name for file in path.glob("[!.]*"))  # ..data is no file
    together = manifest.name == MANIFEST and all(file.exists() for file in beside)
    return manifest.parent if together else path.resolve()


def _verify_file(path: Path, name: str, entry: FileEntry) -> None:
    if name in ("", ".", "..", MANIFEST) or "/" in name or "\\" in name or "\0" in name:
        raise PathOutsideBundle(
            f"{path / MANIFEST} lists the file {name!r}; expected plain names inside the "
            f"directory. {REEXPORT}"
        )
    file = path / name
    with _named_if_unreadable(file):
        if not file.is_file():
            raise MissingFile(f"{file}: listed in the manifest, but not there. {REEXPORT}")
        size = file.stat().st_size
        if size != entry.bytes or size > MAX_FILE_BYTES:
            raise TruncatedFile(f"{file}: expected {entry.bytes} bytes, found {size}. {REEXPORT}")
        found = sha256_of(file)
    if found != entry.sha256:
        raise ChecksumMismatch(f"{file}: expected sha256 {entry.sha256}, found {found}. {REEXPORT}")


@contextmanager
def _named_if_unreadable(path: str | Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise MissingFile(
            f"{path}: expected it to be readable, found {error}. Check its permissions, or copy "
            "the bundle again."
        ) from error


def sha256_of(file: Path) -> str:
    """Hex digest of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_bundle(path: Path, manifest: Manifest, files: Mapping[str, Path]) -> Bundle:
    """Writes a bundle of `files` (name -> where it lies now) under a temporary name, then renames
    it into place.

    It has the format that its values need, and the manifest's `files` are filled in. An existing
    bundle at `path` is replaced; anything else there is refused with FileExistsError
    (check_replaceable).
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
        write_manifest(fresh / MANIFEST, manifest, entries)
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
    if found and not others and not is_manifest(path / MANIFEST):  # other programs have one, too
        others = [MANIFEST]
    if others and path.exists():
        raise FileExistsError(
            f"{path}: expected a bundle to replace, an empty folder or nothing; found other files "
            f"there: {', '.join(others[:5])}. Choose another folder, or move them away."
        )
