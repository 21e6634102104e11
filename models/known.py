"""Fits and measures how a bundle says that an image shows none of its labels.

python -m models.known BUNDLE --data DIR --out DIR: DIR has val/ and test/ with the images of each
class in a folder called like it, and images of other things in folders called `far` (or `other`)
and `near`, which are like a label and are none. On val/ are fitted the temperature of the scores,
slope and offset of `known` (Platt scaling) and its threshold, which keeps a share of the images of
labels; all is measured on both. Without val/ half of test/, by content, takes its place. A network
that was trained with a class `other` uses that logit, another one the sum of exp(logits); of the
first one both are measured. The new bundle has the key `known` and the temperature; all files stay
byte by byte. A hierarchy is left out: its levels were fitted at the other temperature.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from models.command_line.bundle_folder import (
    add_bundle_options,
    check_bundle_folder,
    tell_left_out,
)
from models.command_line.figures import print_figures
from models.command_line.main import make_parser, run_command
from models.data.datasets import DataSet, open_data_set
from models.errors import RecipeError
from models.evaluation.known import (
    fit_known,
    measure_known,
    predict_answers,
    split_to_fit,
    summarize,
)
from models.evaluation.metrics import fit_temperature
from models.records.figures import HeldOutImages
from models.records.known import KnownRecord
from models.records.provenance import describe_code, describe_device
from models.records.typed_json import as_json
from runtime import ENGINES, Bundle, Engine, load_engine
from runtime.bundle import write_bundle

KEEP = 0.95  # of the images of labels


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.known", __doc__)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--data", type=Path, required=True, help="directory with val/ and test/")
    add_bundle_options(parser, "folder of the new bundle")
    parser.add_argument(
        "--keep",
        type=float,
        default=KEEP,
        metavar="SHARE",
        help=f"of the images of labels above the threshold (default {KEEP})",
    )
    parser.add_argument("--engine", choices=["auto", *ENGINES], default="auto")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    return run_command(parser, arguments, _know)


def _know(args: argparse.Namespace) -> None:
    if not 0 < args.keep < 1:
        raise RecipeError(f"expected --keep between 0 and 1; found {args.keep:g}")
    check_bundle_folder(args.out, args.replace)
    engine = load_engine(args.bundle, args.engine)
    data = open_data_set(args.data, None, needs_train=False)
    bundle, record = fit_bundle(engine, data, args.out, args.keep, progress=not args.quiet)
    print_figures(as_json(record))
    tell_left_out(engine.bundle.manifest)
    print(f"{bundle.path}: {bundle.manifest.name}, with `known`", file=sys.stderr)


def fit_bundle(
    engine: Engine, data: DataSet, out: Path, keep: float = KEEP, progress: bool = False
) -> tuple[Bundle, KnownRecord]:
    """Writes the bundle anew with a fitted `known` and temperature; and what was measured.

    Raises DataError, FileExistsError.
    """
    old, path = engine.bundle.manifest, engine.bundle.path
    validation, test = split_to_fit(data)
    answers = predict_answers(engine, validation, data.labels, progress)
    labelled = answers.logits[:, : old.classes]
    temperature = fit_temperature(labelled, answers.truth)
    source = old.known.source if old.known else "energy"
    known = fit_known(answers, source, old.classes, keep)
    manifest = replace(old, temperature=temperature, known=known, hierarchy=None)
    tested = predict_answers(engine, test, data.labels, progress)
    figures = measure_known(tested, manifest)
    digest = test.sha256()
    manifest = replace(
        manifest, known=replace(known, measured=summarize(figures, source, data.name, digest))
    )
    files = {name: path / name for name in old.files}
    bundle = write_bundle(out, manifest, files)
    return bundle, KnownRecord(
        bundle=old.name,
        source=source,
        slope=known.slope,
        offset=known.offset,
        threshold=known.threshold,
        temperature=temperature,
        fitted_on=HeldOutImages(**answers.count(), sha256=validation.sha256()),
        validation=measure_known(answers, manifest),
        test=figures,
        data=data.name,
        sha256=digest,
        engine=f"{engine.name}/{engine.implementation}",
        **describe_code(),
        device=describe_device(torch.device("cpu")),
    )


if __name__ == "__main__":
    sys.exit(main())
