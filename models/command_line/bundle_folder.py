"""The options for a new bundle: an existing one is replaced only with --replace."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from models.errors import BundleExists
from runtime import Manifest
from runtime.bundle import check_replaceable


def add_bundle_options(parser: argparse.ArgumentParser, help_text: str) -> None:
    """--out, with this help, and --replace."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=help_text)
    parser.add_argument(
        "--replace", action="store_true", help="replace the bundle in --out, if there is one"
    )


def check_bundle_folder(folder: Path, replace: bool) -> None:
    """Checks that a new bundle may be written here; commands do so before they start the work.

    Raises BundleExists for a folder with a bundle, unless `replace` allows it; FileExistsError for
    a folder with other files.
    """
    check_replaceable(folder)
    if not replace and folder.is_dir() and any(folder.iterdir()):
        raise BundleExists(
            f"{folder}: expected a new or empty folder; found a bundle in it. Choose another "
            "folder with --out, or replace the bundle with --replace."
        )


def tell_left_out(manifest: Manifest) -> None:
    """Says on standard error that a new bundle lacks the old one's hierarchy, if that has one."""
    if manifest.hierarchy is not None:
        print(
            f"{manifest.name}: the hierarchy is left out, since its levels belong to the old "
            "scores. Fit it with models.hedge again.",
            file=sys.stderr,
        )
