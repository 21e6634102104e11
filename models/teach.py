"""Lets teachers label a data set: their answers are stored beside it, unlabelled images sorted.

python -m models.teach SET --teacher NAME [--teacher NAME ...] --kinds KINDS.toml --out OUT
reads the training images of SET, whose classes are kinds, "other" and "unlabelled"
(models/recipes/teachers), asks each teacher (efficientnet-lite0, -lite1, -lite2: `make teachers`;
or a bundle with ImageNet's 1,000 labels) once for every image, and writes to OUT packs without
"unlabelled", and answers.npz, which models.train takes with --answers. An unlabelled image comes
into the class whose probability is at least --sure; it is left out where no class has that, and
where a second opinion, a bundle, finds one of the kinds of which ImageNet has few classes. Images
that nearly repeat one of the sets of --apart-from are left out first. --patterns adds generated
images that show nothing (plain colours, noise, a covered lens) as "other"; nobody is asked about
them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.command_line.main import make_parser, run_command
from models.data.datasets import open_data_set
from models.data.decoded import decode_images
from models.data.image_files import ImageFiles, join_files
from models.data.near_copies import find_near_copies, hash_files
from models.data.others import OTHER
from models.data.packs import check_no_images, fill_together, write_packs
from models.data.patterns import make_patterns
from models.data.preprocessing import whole_preprocessing
from models.errors import DataError
from models.teachers.answers import FILE, add_answers, keep_likeliest, read_answers, write_answers
from models.teachers.imagenet import ask, ask_new, load_bundle, load_teacher
from models.teachers.kinds import as_targets, read_kinds
from models.teachers.sort import (
    UNLABELLED,
    limit_classes,
    name_classes,
    parse_limits,
    sort_unlabelled,
)

SHARD = 55 * 2**20  # bytes of a pack, about


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.teach", __doc__)
    parser.add_argument("data", type=Path, metavar="SET")
    parser.add_argument("--teacher", action="append", required=True, help="may be repeated")
    parser.add_argument("--kinds", type=Path, required=True, metavar="KINDS.toml")
    parser.add_argument("--second", type=Path, help="a bundle that knows the kinds")
    parser.add_argument(
        "--sure", type=float, default=0.6, help="least probability of a new label (default 0.6)"
    )
    parser.add_argument("--side", type=int, default=176, help="of the decoded images (default 176)")
    parser.add_argument(
        "--max-images",
        nargs="+",
        default=(),
        metavar="N",
        help="of a kind, chosen by content; CLASS=N of one kind (default: all)",
    )
    parser.add_argument(
        "--max-others", type=int, help='of "other", and of "unlabelled" (default: all)'
    )
    parser.add_argument(
        "--answers", type=Path, help="of an earlier run: its images are not asked about again"
    )
    parser.add_argument(
        "--apart-from", type=Path, nargs="+", default=[], metavar="SET", help="sets to measure on"
    )
    parser.add_argument(
        "--patterns", type=int, default=0, metavar="N", help="generated images more (default 0)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of packs and answers")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    return run_command(parser, arguments, _teach)


def _teach(args: argparse.Namespace) -> None:
    if not 0.5 < args.sure <= 1:
        raise DataError(f"expected --sure above 0.5, at most 1; found {args.sure}")
    kinds = read_kinds(args.kinds)
    if args.patterns < 0 or (args.patterns and kinds.other != OTHER):
        raise DataError(
            f'expected --patterns of at least 0, for kinds whose rest is called "{OTHER}"; found '
            f'{args.patterns} and "{kinds.other}"'
        )
    check_no_images(args.out, ("train",))
    files = open_data_set(args.data).train
    others = (kinds.other, UNLABELLED)
    limits = parse_limits(args.max_images, [c for c in files.classes if c not in others])
    limits |= dict.fromkeys(others, args.max_others)
    files, copies = _leave_out_near_copies(limit_classes(files, limits), args.apart_from)
    classes = name_classes(files)
    kinds.matrix(classes)  # a list of kinds that does not fit is told before hours of asking
    teachers = [load_teacher(name) for name in args.teacher]
    second = load_bundle(args.second) if args.second else None
    shows = not args.quiet
    images = decode_images(files, whole_preprocessing(args.side), progress=shows)
    earlier = read_answers(args.answers) if args.answers else None
    answers = ask_new(teachers, files.names, images.pixels, earlier, shows)
    opinion = (ask([second[0]], images.pixels, shows), second[1]) if second else None
    found = sort_unlabelled(files, as_targets(answers, kinds, classes), kinds, args.sure, opinion)
    names = [teacher.name for teacher in teachers]
    stored = keep_likeliest(found.files.names, answers[list(found.kept)], names)
    files = found.files
    if args.patterns:
        patterns = make_patterns(args.patterns, args.side)
        files = join_files([files, patterns])
        stored = add_answers(stored, patterns.names, kinds.find_others())
    size = sum(len(files.read(i)) for i in range(len(files)))
    with fill_together(args.out) as folder:
        write_packs(files, folder, "train", max(1, -(-size // SHARD)))
        write_answers(stored, folder / FILE)
    for name, count in files.counts().items():
        print(f"{name}: {count}")
    if copies:
        found.left_out["a near copy of an image to measure on"] += copies
    print(f"{len(files)} images; left out: {dict(found.left_out) or 'none'}")


def _leave_out_near_copies(files: ImageFiles, sets: Sequence[Path]) -> tuple[ImageFiles, int]:
    """The files that nearly repeat no image of the other sets, and how many were left out."""
    copies: set[int] = set()
    hashes = hash_files(files) if sets else np.empty(0)
    for folder in sets:
        for part in open_data_set(folder, needs_train=False).parts().values():
            if len(part):
                copies |= find_near_copies(hashes, part).keys()
    return files.select([i for i in range(len(files)) if i not in copies]), len(copies)


if __name__ == "__main__":
    sys.exit(main())
