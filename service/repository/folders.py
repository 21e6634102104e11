"""Which models a directory has: each of its folders that is a bundle, by the folder's name."""

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
    """What is there: folders of bundles by name, and names that cannot be served, with why."""

    folders: Mapping[str, Path] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)


def find_models(directory: Path | None) -> Found:
    """The folders in a directory, links to folders too, without those that begin with a dot.

    A link that leads nowhere, and one that can't be followed, is a fault: a folder was meant. Bytes
    of a name that are no UTF-8 are escaped in it. `directory` None: there is none. Raises OSError
    if it can't be read.
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
    """Why a folder's name can't be a model's; None: it can."""
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
    """The folder's name of the default bundle, where it stands among the models; else None.

    However both paths are written, and whatever links lead to the directory. None, too, where the
    folder's name can't be a model's.
    """
    if settings.models is None or check_name(settings.bundle.name) is not None:
        return None
    parent = os.path.realpath(settings.bundle.parent)  # unlike resolve(), it bears circles
    return settings.bundle.name if parent == os.path.realpath(settings.models) else None
