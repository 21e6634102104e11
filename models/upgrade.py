"""Converts a bundle to the newest format, without its checkpoint.

python -m models.upgrade BUNDLE --out DIR [--replace]: weights and graphs stay as they are, but a
model.ts loses the paths of the machine that exported it. The manifest gets what newer formats have,
such as its digest. The bundle gets a self-test, with the logits of its own engines on this machine.
If the order of float operations in the kernels has changed, parity is measured again, against the
full-precision reference, because a bundle has no training graph. The manifest is trusted as it is:
format 1 has nothing to check it with. A bundle that is already in DIR is replaced only with
--replace; DIR may then be BUNDLE itself.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.command_line.bundle_folder import add_bundle_options, check_bundle_folder
from models.command_line.main import make_parser, run_command
from models.export.parity import measure_parity, parity_inputs
from models.export.stored_answers import add_self_test
from runtime import Bundle, read_bundle
from runtime.bundle import TORCHSCRIPT_GRAPH, check_replaceable, write_bundle
from runtime.engines.graph_file import copy_graph
from runtime.engines.reference import FloatNetwork
from runtime.manifest import FLOAT_ORDER


def upgrade(bundle: Bundle, out: Path) -> Bundle:
    """Writes the bundle again, with a self-test that all engines that run here pass.

    Raises FileExistsError, BundleError, EngineUnavailable.
    """
    check_replaceable(out)
    manifest = bundle.manifest
    if manifest.float_order != FLOAT_ORDER:
        parity = {**manifest.parity, **_measure_again(bundle)}
        manifest = replace(manifest, float_order=FLOAT_ORDER, parity=parity)
    files = {name: bundle.path / name for name in manifest.files}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if TORCHSCRIPT_GRAPH in files:
            copy_graph(files[TORCHSCRIPT_GRAPH], folder / TORCHSCRIPT_GRAPH)
            files[TORCHSCRIPT_GRAPH] = folder / TORCHSCRIPT_GRAPH
        return write_bundle(out, manifest, add_self_test(manifest, files, folder))


def _measure_again(bundle: Bundle) -> dict[str, Any]:
    """Parity with the full-precision reference, for recorded engines that run here.

    Raises BundleError.
    """
    manifest = bundle.manifest
    if not (manifest.plan and manifest.parity):
        return {}
    twin = FloatNetwork(manifest.plan, bundle.tensors())
    figures = measure_parity(twin, bundle, parity_inputs(manifest.input))
    return {
        name: {**figures[name], "against": "full-precision reference"}
        for name in manifest.parity
        if name in figures and "not_measured" not in figures[name]
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.upgrade", __doc__)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    add_bundle_options(parser, "folder of the new bundle; may be BUNDLE, with --replace")
    return run_command(parser, arguments, _upgrade)


def _upgrade(args: argparse.Namespace) -> None:
    check_bundle_folder(args.out, args.replace)
    old = read_bundle(args.bundle)
    new = upgrade(old, args.out)
    print(f"{new.path}: {new.manifest.name}, format {old.manifest.format} -> {new.manifest.format}")
    for name, entry in new.manifest.files.items():
        print(f"  {name:<24}{entry.bytes:>12,} bytes")


if __name__ == "__main__":
    sys.exit(main())
