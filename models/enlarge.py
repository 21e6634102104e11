"""Adapts a trained network to larger images than it was trained on.

python -m models.enlarge RUN --data DIR --image-size SIDE --out RUN2: objects look larger in the
random crops of a training than in the centre crop of a photo. So networks are often more accurate
on somewhat larger images than those of their training, once their batch norms know these (Touvron
et al. 2019, "Fixing the train-test resolution discrepancy"). Means and variances are estimated
again on training images of the new size, with centre crops; all weights stay. Then the temperature
is fitted and the test split is measured, as at the end of a training. RUN2 gets checkpoint.pt, to
export from, confusion.csv, and record.json, which says what it was made from. Compare both runs on
the validation images: validation_top1 of the last epoch, and "validation" that this command prints.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from models.command_line.figures import print_figures
from models.command_line.main import make_parser, run_command
from models.data.catalog import NAMES
from models.data.datasets import open_data_set
from models.data.image_folder import open_photos
from models.data.preprocessing import check_sizes
from models.records.record import CONFUSION
from models.records.typed_json import as_json
from models.training.checkpoint import find_checkpoint, read_checkpoint
from models.training.remake import check_new, tell_remade, write_remade
from models.training.resolution import adapt_resolution


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.enlarge", __doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run's folder")
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--data", type=Path, help="what it was trained on")
    images.add_argument("--folder", type=Path, help="own photos that it was trained on")
    parser.add_argument("--set", choices=NAMES, help="what DATA is a copy of; checks its counts")
    parser.add_argument("--image-size", type=int, required=True, help="side of the new input")
    parser.add_argument(
        "--resize", type=int, help="shorter side before the crop (default: as before, scaled)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the new run")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    return run_command(parser, arguments, _enlarge)


def _enlarge(args: argparse.Namespace) -> None:
    check_new(args.out)
    checkpoint = read_checkpoint(find_checkpoint(args.run))
    trained, side = checkpoint.preprocessing, args.image_size
    scaled = round(side * trained.resize / trained.crop)
    resize = scaled if args.resize is None else args.resize
    check_sizes(side, resize)
    larger = replace(trained, resize=resize, crop=side)
    if args.folder is None:
        data = open_data_set(args.data, args.set)
    else:
        data = open_photos(args.folder, checkpoint.recipe.validation_share)
    args.out.mkdir(parents=True, exist_ok=True)
    made = adapt_resolution(checkpoint, data, larger, args.out / CONFUSION, progress=not args.quiet)
    write_remade(args.out, made)
    if not args.quiet:
        tqdm.write(f"{args.out}: {checkpoint.network} for {side}x{side} pixels")
    print_figures(as_json(tell_remade(made)), indent=1)


if __name__ == "__main__":
    sys.exit(main())
