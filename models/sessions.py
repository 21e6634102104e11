"""Measures what reasoning about sessions is worth, on sessions simulated from single photos.

python -m models.sessions BUNDLE --data DIR: DIR has val/ and test/ (or packs) with a folder or
class for each kind. Weights and temperatures of every way are fitted on val/ and measured on test/,
on --shuffles albums each; those of the default rules stay as they are. For a bundle that says
`known`, the images of far/ are also put among those of test/. --videos adds real sessions:
KIND/VIDEO/*.jpg below a folder, of which every --every-th frame is taken. --scale N measures the
time and memory of reasoning about N made-up photos instead. The output is JSON if it is not a
terminal; `--table RECORD...` prints tables of such records, or writes them into a page.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from models.albums.reasoning import score
from models.albums.session_figures import (
    Scores,
    measure_scale,
    measure_simulated,
    measure_strangers,
    measure_videos,
)
from models.albums.session_tables import make_page_table, write_block
from models.command_line.figures import print_figures
from models.command_line.main import make_parser, run_command
from models.data.datasets import DataSet, open_data_set
from models.data.decoded import decode_images
from models.data.image_files import ImageFiles, read_folder
from models.data.others import leave_out_others
from models.errors import DataError, RecipeError
from models.evaluation.accuracy import find_classes, find_columns, predict_by_engine
from models.evaluation.known import predict_answers
from models.records.provenance import describe_code, describe_device
from runtime import ENGINES, Engine, load_engine

SHUFFLES, EVERY, SEED = 10, 6, 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.sessions", __doc__)
    parser.add_argument("bundle", type=Path, nargs="?", metavar="BUNDLE")
    parser.add_argument("--data", type=Path, help="directory with val/ and test/")
    parser.add_argument("--shuffles", type=int, default=SHUFFLES, help=f"default {SHUFFLES}")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--videos", type=Path, metavar="DIR", help="KIND/VIDEO/*.jpg")
    parser.add_argument("--every", type=int, default=EVERY, help=f"of frames (default {EVERY})")
    parser.add_argument("--scale", type=int, metavar="N", help="time and memory of N photos")
    parser.add_argument("--table", type=Path, nargs="+", metavar="RECORD", help="print tables")
    parser.add_argument("--page", type=Path, help="with --table: write them between its marks")
    parser.add_argument("--engine", choices=["auto", *ENGINES], default="auto")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    return run_command(parser, arguments, _measure)


def _measure(args: argparse.Namespace) -> None:
    if args.table:
        text = make_page_table([json.loads(path.read_text()) for path in args.table])
        if args.page:
            write_block(args.page, text)
        else:
            print(text)
        return
    for name in ("shuffles", "every", "scale"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise RecipeError(f"expected --{name} from 1; found {getattr(args, name)}")
    where = {
        **describe_code(),
        "device": describe_device(torch.device("cpu")),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if args.scale:
        print_figures({**measure_scale(args.scale, args.seed), **where}, indent=1)
        return
    if args.bundle is None or args.data is None:
        raise RecipeError("expected BUNDLE and --data DIR, or --scale N, or --table; found none")
    engine = load_engine(args.bundle, args.engine)
    manifest = engine.bundle.manifest
    whole = open_data_set(args.data, None, needs_train=False)
    data = leave_out_others(whole, find_classes(manifest))
    if data.validation is None or data.test is None:
        raise DataError(f"{args.data}: expected val and test in it; found one. Split it.")
    shown = not args.quiet
    fitting = _score(engine, data.validation, data.labels, shown)
    testing = _score(engine, data.test, data.labels, shown)
    figures: dict[str, object] = {
        "bundle": args.bundle.resolve().name,
        "network": manifest.name,
        "data": data.name,
        "fitted_on": {"images": len(data.validation), "sha256": data.validation.sha256()},
        "measured_on": {"images": len(data.test), "sha256": data.test.sha256()},
        **measure_simulated(fitting, testing, manifest.labels, args.shuffles, args.seed),
    }
    if manifest.known is not None:
        figures["strangers"] = _measure_strangers(engine, whole, args)
    if args.videos:
        videos = read_folder(args.videos)
        frames = videos.select(
            [i for i in range(len(videos)) if int(Path(videos.names[i]).stem) % args.every == 0]
        )
        scores = _score(engine, frames, frames.classes, shown)
        sessions = [str(Path(name).parent) for name in frames.names]
        figures["videos"] = {
            "every": args.every,
            "sha256": frames.sha256(),
            **measure_videos(fitting, scores, sessions, manifest.labels, args.seed),
        }
    engine_name = f"{engine.name}/{engine.implementation}"
    print_figures({**figures, "seed": args.seed, "engine": engine_name, **where}, indent=1)


def _measure_strangers(engine: Engine, data: DataSet, args: argparse.Namespace) -> object:
    """With the test images of things far from all labels among the others."""
    assert data.test is not None
    manifest = engine.bundle.manifest
    answers = predict_answers(engine, data.test, data.labels, not args.quiet)
    logits = torch.cat([answers.logits, answers.far]).numpy()
    none = torch.full((len(answers.far),), manifest.classes)
    return measure_strangers(
        lambda temperature: score(logits, manifest, temperature),
        torch.cat([answers.truth, none]).numpy(),
        *(manifest.labels, args.shuffles, args.seed),
    )


def _score(engine: Engine, files: ImageFiles, labels: Sequence[str], shown: bool) -> Scores:
    """Logits of the bundle's labels alone, and the true ones."""
    manifest = engine.bundle.manifest
    columns = find_columns(manifest, files.classes, labels)
    images = decode_images(files, manifest.preprocessing, progress=shown)
    logits = predict_by_engine(engine, images, manifest.preprocessing, progress=shown)
    truth = torch.tensor(columns)[images.labels].numpy()
    return Scores(logits[:, : manifest.classes].double().numpy(), truth, manifest.temperature)


if __name__ == "__main__":
    sys.exit(main())
