"""Finds the models of a directory: each of its folders that is a bundle, by the folder's name."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runtime import stamp_bundle
from service.repository.names import TWIN_SUFFIX
from service.settings.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Found:
    """The folders of bundles by name, and names that cannot be served, with the reason."""

    folders: Mapping[str, Path] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)


def find_models(directory: Path | None) -> Found:
    """The folders in a directory, and links to folders, except those that begin with a dot.

    A link that leads nowhere or can't be followed is a fault: it was meant to be a folder. Bytes of
    a name that are not UTF-8 are escaped. `directory` None: no models. Raises OSError if it can't
    be read.
    """
    if directory is None:
        return Found()
    folders: dict[str, Path] = {}
    faults: dict[str, str] = {}
    for path in sorted(directory.iterdir()):
        if path.name.startswith("."):
            continue
        try:
            if not stat.S_ISDIR(path.stat().st_mode):
                continue
            fault = check_name(path.name)
        except OSError as error:
            if path.is_symlink():
                fault = f"expected a folder, or a link to one; found a link: {error.strerror}"
            elif isinstance(error, FileNotFoundError):  # it is gone since it was listed
                continue
            else:
                raise
        if fault is None and stamp_bundle(path) is None:
            fault = (
                f"expected a bundle, with a manifest.json that can be read, in {path}; found none"
            )
        if fault is None:
            folders[path.name] = path
        else:
            faults[os.fsencode(path.name).decode(errors="backslashreplace")] = fault
    return Found(folders, faults)


def check_name(name: str) -> str | None:
    """Why a folder's name can't be the name of a model; None: it can."""
    if not _NAME.fullmatch(name):
        return (
            "expected a folder's name of 1 to 100 letters, digits, dots, - and _, which is the "
            "model's; found another. Rename the folder"
        )
    if name.endswith(TWIN_SUFFIX):
        return (
            f"expected a name that does not end in {TWIN_SUFFIX}, which means the same model by "
            "image files in the Open Inference Protocol; found one. Rename the folder"
        )
    return None


def name_default(settings: Settings) -> str | None:
    """The folder's name of the default bundle if it is in the directory of models; else None.

    Both paths are compared after following all links. Also None if the folder's name can't be the
    name of a model.
    """
    if settings.models is None or check_name(settings.bundle.name) is not None:
        return None
    parent = os.path.realpath(settings.bundle.parent)  # unlike resolve(), it bears circles
    return settings.bundle.name if parent == os.path.realpath(settings.models) else None
