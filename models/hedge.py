"""Gives a bundle a hierarchy over its labels, and fits how sure each hedged answer must be.

python -m models.hedge BUNDLE --data DIR --hierarchy FILE --out DIR: FILE is a hierarchy written by
hand (models/recipes/hierarchies), or WordNet's data.noun for labels of ImageNet. DIR has val/ and
test/ with the images of each class in a folder called like it, as for models.known; images of other
things (folders `far`, `other`, `near`) fit nothing and are counted. On val/ a lambda is fitted for
each certainty, on test/ all is measured. Without val/ half of test/, by content, takes its place.
The new bundle has the key `hierarchy`; all else stays, all files byte by byte.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from models.command_line.bundle_folder import add_bundle_options, check_bundle_folder
from models.command_line.figures import print_figures
from models.command_line.main import make_parser, run_command
from models.data.datasets import DataSet, open_data_set
from models.data.hierarchies import Draft, read_draft
from models.data.wordnet import find_leaves, make_draft, read_ids, read_nouns
from models.errors import DataError
from models.evaluation.hedging import (
    find_top1,
    fit_levels,
    measure_levels,
    score_all,
    summarize_levels,
    time_answers,
)
from models.evaluation.known import predict_answers, split_to_fit
from models.records.provenance import describe_code, describe_device
from runtime import ENGINES, Bundle, Engine, Hedger, Hierarchy, Level, load_engine
from runtime.bundle import sha256_of, write_bundle
from runtime.errors import InvalidHierarchy


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.hedge", __doc__)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--data", type=Path, required=True, help="directory with val/ and test/")
    parser.add_argument(
        "--hierarchy",
        type=Path,
        required=True,
        metavar="FILE",
        help="a .toml file, or WordNet's /usr/share/wordnet/data.noun",
    )
    parser.add_argument(
        "--ids",
        type=Path,
        metavar="FILE",
        help="WordNet ids of all labels, one a line (default: folders of the data, and words)",
    )
    add_bundle_options(parser, "folder of the new bundle")
    parser.add_argument("--engine", choices=["auto", *ENGINES], default="auto")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    return run_command(parser, arguments, _hedge)


def _hedge(args: argparse.Namespace) -> None:
    check_bundle_folder(args.out, args.replace)
    engine = load_engine(args.bundle, args.engine)
    data = open_data_set(args.data, None, needs_train=False)
    labels, classes = engine.bundle.manifest.labels, tuple[str, ...]()
    if args.hierarchy.suffix.lower() == ".toml":
        if args.ids is not None:
            raise DataError(
                "expected --ids beside WordNet's data.noun; found it beside a .toml. Leave it out."
            )
        draft = read_draft(args.hierarchy, labels)
    else:
        nouns = read_nouns(args.hierarchy)
        given = read_ids(args.ids) if args.ids else data.train.classes
        leaves = find_leaves(nouns, labels, given)
        draft, classes = make_draft(nouns, labels, leaves), tuple(f"n{n:08d}" for n in leaves)
    named = set(data.train.classes) & set(classes)
    try:
        bundle, figures = fit_bundle(
            engine, data, draft, args.out, classes if named else (), progress=not args.quiet
        )
    except InvalidHierarchy as error:
        raise DataError(f"{args.hierarchy}: {error}") from error
    figures["hierarchy_sha256"] = sha256_of(args.hierarchy)
    print_figures(figures)
    print(f"{bundle.path}: {bundle.manifest.name}, with a `hierarchy`", file=sys.stderr)


def fit_bundle(
    engine: Engine,
    data: DataSet,
    draft: Draft,
    out: Path,
    classes: Sequence[str] = (),
    progress: bool = False,
) -> tuple[Bundle, dict[str, Any]]:
    """Writes the bundle anew with a fitted hierarchy; and the figures of it.

    classes: how the data calls the bundle's labels, if not as its training did. Raises DataError,
    InvalidHierarchy, FileExistsError.
    """
    old, path = engine.bundle.manifest, engine.bundle.path
    careful = (Level(0.5, None),)  # until the levels are fitted
    hierarchy = Hierarchy(draft.nodes, draft.parents, careful, 1, draft.notice)
    hedger = Hedger(hierarchy, old.labels)
    validation, test = split_to_fit(data)
    fitting, tested = (
        predict_answers(engine, files, data.labels, progress, classes=classes, needs_others=False)
        for files in (validation, test)
    )
    levels, thresholds = fit_levels(hedger, score_all(fitting.logits, old), fitting.truth.numpy())
    hierarchy = replace(hierarchy, levels=levels, images=len(fitting.logits))
    rows = measure_levels(hierarchy, old, tested, thresholds)
    digest = test.sha256()
    hierarchy = replace(hierarchy, measured=summarize_levels(rows, data.name, digest))
    files = {name: path / name for name in old.files}
    bundle = write_bundle(out, replace(old, hierarchy=hierarchy), files)
    return bundle, {
        "bundle": old.name,
        "labels": old.classes,
        "nodes": len(hierarchy.nodes),
        "temperature": old.temperature,
        "fitted_on": {**fitting.count(), "sha256": validation.sha256()},
        "measured_on": {**tested.count(), "sha256": digest},
        "top1": round(find_top1(tested, old.classes), 5),
        "answer_us": time_answers(hierarchy, score_all(tested.logits, old), old.labels),
        "levels": rows,
        "data": data.name,
        "engine": f"{engine.name}/{engine.implementation}",
        **describe_code(),
        "device": describe_device(torch.device("cpu")),
    }


if __name__ == "__main__":
    sys.exit(main())
