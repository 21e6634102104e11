"""Names what the photos of an album show, with the help of the photos around each.

python -m models.album BUNDLE DIR reads all photos below DIR and their EXIF metadata, asks the
bundle about each once (answers are kept by the content of files, see --cache), groups photos into
sessions, reasons by rules with weights, and writes album.csv, album.json and album.html: what each
photo shows before and after reasoning, and why. Photos are never moved or changed.

examples:
  python -m models.album service/bundles/default PHOTOS                 # writes into album/
  python -m models.album BUNDLE PHOTOS --out found --sort-into sorted   # copies, sorted/dog/...
  python -m models.album BUNDLE PHOTOS --rules my.rules --gap 600       # rules of your own
  python -m models.album BUNDLE PHOTOS --learn SORTED                   # weights, of SORTED/dog/...

models/recipes/album.rules has the default rules and says how to write others.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from models.albums.cache import Cache, find_default_folder
from models.albums.naming import Spans, learn_rules, name_photos, read_rules
from models.albums.outputs import (
    check_apart,
    check_usable,
    copy_sorted,
    show,
    summarize,
    tell,
    write_csv,
    write_json,
)
from models.albums.page import write_page
from models.albums.photos import identify_model, read_album
from models.command_line.main import make_parser, run_command
from models.errors import RecipeError
from runtime import ENGINES, load_engine
from runtime.whole_file import write_whole

RULES = Path(__file__).parent / "recipes" / "album.rules"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    usual = Spans()
    parser = make_parser("models.album", __doc__)
    add = parser.add_argument
    add("bundle", type=Path, metavar="BUNDLE")
    add("folder", type=Path, metavar="DIR", help="photos, in any sub-folders")
    add(
        "--out",
        type=Path,
        default=Path("album"),
        metavar="DIR",
        help="folder for album.csv, album.json, album.html (default: album)",
    )
    add("--rules", type=Path, default=RULES, metavar="FILE", help="other rules than the default")
    add(
        "--gap",
        type=float,
        default=usual.gap,
        metavar="SECONDS",
        help=f"without a photo, after which a session ends (default {usual.gap:g})",
    )
    add(
        "--burst",
        type=float,
        default=usual.burst,
        metavar="SECONDS",
        help=f"the same of a burst (default {usual.burst:g})",
    )
    add(
        "--learn",
        type=Path,
        metavar="ALBUMS",
        help="fit the weights on photos in folders called like kinds; also writes album.rules",
    )
    add(
        "--approximate",
        action="store_true",
        help="use belief propagation where rules link too many photos for an exact answer",
    )
    add("--sort-into", type=Path, metavar="DIR", help="copy each photo to DIR/KIND/...")
    add(
        "--cache",
        type=Path,
        default=find_default_folder(),
        metavar="DIR",
        help="folder that keeps what the bundle said (default: %(default)s)",
    )
    add("--engine", choices=["auto", *ENGINES], default="auto")
    add("--quiet", action="store_true", help="no progress bars")
    return run_command(parser, arguments, _name)


def _name(args: argparse.Namespace) -> None:
    spans = Spans(args.gap, args.burst)
    for option, seconds in (("--gap", spans.gap), ("--burst", spans.burst)):
        if not (math.isfinite(seconds) and seconds >= 0):
            raise RecipeError(f"expected seconds from 0 for {option}; found {seconds:g}")
    check_usable(args.out)
    if args.sort_into:
        check_apart(args.folder, args.sort_into)
        check_usable(args.sort_into)
    engine = load_engine(args.bundle, args.engine)
    manifest = engine.bundle.manifest
    rules = read_rules(args.rules, manifest)
    shown = not args.quiet
    with Cache(args.cache, identify_model(engine), manifest.logits) as cache:
        if args.learn:
            sorted_photos = read_album(args.learn, engine, cache, shown)
            rules, learned = learn_rules(sorted_photos, manifest, rules, spans)
            tell(
                f"learned from {learned.photos:,} photos: mean negative log-likelihood "
                f"{learned.loss_before:.4f}, now {learned.loss:.4f}"
                f"{'' if learned.converged else '; the search did not converge'}"
            )
        album = read_album(args.folder, engine, cache, shown)
    with tqdm(
        total=len(album.photos), desc="reasoning", disable=None if shown else True, leave=False
    ) as bar:
        result = name_photos(album, manifest, rules, spans, args.approximate, bar.update)
    args.out.mkdir(parents=True, exist_ok=True)
    write_csv(args.out / "album.csv", result)
    write_json(args.out / "album.json", result)
    write_page(args.out / "album.html", result, lambda i: album.photos[i].kept.thumbnail)
    if args.learn:
        with write_whole(args.out / "album.rules") as stream:
            stream.write(rules.text.encode())
    for note in result.notes:
        tell(f"note: {note}")
    for name, fault in album.unreadable:
        tell(f"unreadable: {show(name)}: {fault}")
    not_copied = copy_sorted(args.folder, result.rows, args.sort_into) if args.sort_into else []
    for name, fault in not_copied:
        tell(f"not copied: {show(name)}: {fault}")
    done = summarize(result, album.scored, len(not_copied))
    print(f"{args.out / 'album.html'}: {done}")


if __name__ == "__main__":
    sys.exit(main())
