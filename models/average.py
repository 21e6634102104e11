"""Averages the weights of trainings with those that they began with.

python -m models.average RUN [RUN ...] --start START --data DIR --out RUN2: the runs, finished ones
of the same recipe with other seeds, began with START (models.train --start). RUN2's weights are
--share of the runs' mean, and for the rest START's. This often is more accurate than each of them,
above all on images unlike those trained on, because less is forgotten (Wortsman et al. 2022, "Model
soups" and "Robust fine-tuning of zero-shot models"). Means and variances of the batch norms are
estimated again on training images; then the temperature is fitted and the test split is measured,
as at the end of a training. RUN2 gets checkpoint.pt, to export from, confusion.csv and record.json,
which says what it was made from. Compare --share 1 and less on validation images.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from models.command_line.figures import print_figures
from models.command_line.main import make_parser, run_command
from models.data.catalog import NAMES
from models.data.datasets import open_data_set
from models.records.record import CONFUSION
from models.records.typed_json import as_json
from models.training.averaging import average
from models.training.checkpoint import find_checkpoint, read_checkpoint
from models.training.initial_weights import read_start
from models.training.remake import check_new, tell_remade, write_remade


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.average", __doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="finished runs' folders")
    parser.add_argument("--start", type=Path, required=True, help="the weights they began with")
    parser.add_argument(
        "--share", type=float, default=0.7, help="of the runs, all together (default 0.7)"
    )
    parser.add_argument("--data", type=Path, required=True, help="what they were trained on")
    parser.add_argument("--set", choices=NAMES, help="what DATA is a copy of; checks its counts")
    parser.add_argument("--out", type=Path, required=True, help="folder of the new run")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    return run_command(parser, arguments, _average)


def _average(args: argparse.Namespace) -> None:
    check_new(args.out)
    checkpoints = [read_checkpoint(find_checkpoint(run)) for run in args.runs]
    start = read_start(args.start, checkpoints[0].recipe.latent)  # as the runs began
    data = open_data_set(args.data, args.set)
    args.out.mkdir(parents=True, exist_ok=True)
    table, progress = args.out / CONFUSION, not args.quiet
    made = average(checkpoints, start, args.share, data, table, progress=progress)
    write_remade(args.out, made)
    print_figures(as_json(tell_remade(made)), indent=1)


if __name__ == "__main__":
    sys.exit(main())
