"""Saves the weights of a run, as initial weights of another training.

python -m models.pretrained RUN --out FILE: RUN is a folder of models.train, or its checkpoint.pt.
FILE, a .safetensors, holds the network alone, without the optimizer's state: latent and float
weights as float16, batch norms as float32. An existing FILE is replaced. models.train --start takes
either. If the classes differ, the last layer is first fitted to the new ones
(models.training.linear_probe); with --epochs 0 nothing else is trained.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from models.command_line.main import make_parser, run_command
from models.errors import RecipeError
from models.training.checkpoint import find_checkpoint, read_checkpoint
from models.training.initial_weights import write_weights


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.pretrained", __doc__)
    parser.add_argument("run", type=Path, help="folder of a run, or its checkpoint.pt")
    parser.add_argument(
        "--out", type=Path, required=True, help="a .safetensors file; an existing one is replaced"
    )
    parser.add_argument(
        "--unfinished", action="store_true", help="also of a training that has not finished"
    )
    return run_command(parser, arguments, _write)


def _write(args: argparse.Namespace) -> None:
    path = find_checkpoint(args.run)
    if args.out.suffix != ".safetensors" or args.out.is_dir():
        raise RecipeError(f"expected --out FILE.safetensors; found {args.out}")
    checkpoint = read_checkpoint(path)
    if not checkpoint.finished and not args.unfinished:
        raise RecipeError(
            f"{path}: expected a finished training; found "
            f"{checkpoint.state.progress.epoch} of {checkpoint.recipe.epochs} epochs. Let it "
            "finish (models.train --resume), or give --unfinished."
        )
    write_weights(checkpoint, args.out)
    size = args.out.stat().st_size
    print(f"{args.out}: {checkpoint.network} on {checkpoint.data.name}, {size:,} bytes")


if __name__ == "__main__":
    sys.exit(main())
