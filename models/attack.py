"""Attacks a network: how many right answers stay when an image is changed a little on purpose.

python -m models.attack TARGET --data DIR, where TARGET is a checkpoint.pt (or its folder), a
.safetensors file of weights (with --image-size) or a bundle. No value of the network's input image
(after resizing and cropping) changes by more than --eps of 255 levels. Attacks: uniform noise;
fgsm, pgd and apgd by gradients (white box); square by scores alone; transfer from a --surrogate.
Each result is also measured rounded to whole levels, and as a PNG file through the bundle's engine.
A bundle of float layers gets gradients by rebuilding it; one of 8-bit layers has none. Self-checks
are printed with the figures: if one fails, the attack is too weak to say anything, and the exit
code is 3. fgsm, pgd, apgd and square need ART: make attacks.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch

from models.attacks.defence import parse_defence
from models.attacks.library import check_library
from models.attacks.measure import Measurement, choose_images
from models.attacks.report import print_record
from models.attacks.target import open_surrogate, open_target
from models.attacks.threat import ATTACKS, FROM_ART, WHITE_BOX, Threat, check_attacks
from models.command_line.main import make_parser, run_command
from models.data.catalog import NAMES
from models.data.datasets import open_data_set
from models.data.others import leave_out_others
from models.errors import DataError, RecipeError
from models.records.attack import AttackRecord, write_attack
from models.records.provenance import describe_code, describe_device
from models.teachers.kinds import read_kinds

WEAK = 3  # exit code: a self-check failed
DEFAULT = ",".join(name for name in ATTACKS if name != "transfer")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = make_parser("models.attack", __doc__)
    parser.add_argument("target", type=Path, metavar="TARGET")
    parser.add_argument("--data", type=Path, required=True, help="directory with test/ or val/")
    parser.add_argument("--set", choices=NAMES, help="what DATA is a copy of; checks its counts")
    parser.add_argument("--attacks", default=DEFAULT, help=f"default: {DEFAULT}; also transfer")
    parser.add_argument("--eps", default="0.5,1,2,4,8", help="levels of 255 (default 0.5,1,2,4,8)")
    parser.add_argument("--images", type=int, default=500, help="that it is right on (default 500)")
    parser.add_argument("--steps", type=int, default=50, help="by gradients (default 50)")
    parser.add_argument("--queries", type=int, default=1000, help="of Square (default 1000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--targeted", action="store_true", help="to a class drawn for each image")
    parser.add_argument("--image-size", type=int, metavar="SIDE", help="of a file of weights")
    parser.add_argument("--kinds", type=Path, metavar="KINDS.toml", help="of ImageNet's classes")
    parser.add_argument("--surrogate", type=Path, help="checkpoint or weights, for transfer")
    parser.add_argument("--defence", metavar="noise:SD", help="Gaussian noise of SD levels")
    parser.add_argument("--draws", type=int, default=10, help="a step, against it (default 10)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the record")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    passed: list[bool] = []
    code = run_command(parser, arguments, lambda args: passed.append(_attack(args)))
    return code or (0 if all(passed) else WEAK)


def _attack(args: argparse.Namespace) -> bool:
    """Whether all self-checks passed."""
    clock, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    threat = Threat(
        _read_eps(args.eps), args.steps, args.queries, args.draws, args.seed, args.targeted
    )
    attacks = check_attacks(args.attacks.split(","), args.surrogate is not None)
    sd = None if args.defence is None else parse_defence(args.defence)
    if args.images < 1:
        raise RecipeError(f"expected --images from 1 on; found {args.images}")
    if args.json is not None and not args.json.parent.is_dir():
        raise RecipeError(
            f"expected --json in a folder that is there; found none at {args.json.parent}. Make it."
        )
    library = check_library() if set(attacks) & set(FROM_ART) else None
    kinds = None if args.kinds is None else read_kinds(args.kinds)
    needs_gradients = sd is not None or bool(set(attacks) & set(WHITE_BOX))
    with open_target(args.target, args.image_size, kinds) as target:
        if needs_gradients:
            target.check_gradients()
        data = leave_out_others(open_data_set(args.data, args.set, False), target.classes)
        if data.test is None:
            raise DataError(f"{args.data}: expected test or val in it; found neither")
        surrogate = None if args.surrogate is None else open_surrogate(args.surrogate, target)
        images = choose_images(target, data.test, data.labels, args.images, args.seed)
        if needs_gradients:
            target.add_gradients(images.shown.pixels)
        network = None if surrogate is None else surrogate[1]
        outcome = Measurement(target, images, threat).run(attacks, network, sd, not args.quiet)
        record = AttackRecord(
            network=target.name,
            binary=target.binary,
            gradients=target.gradients,
            surrogate=None if surrogate is None else surrogate[0],
            side=target.preprocessing.crop,
            data=data.name,
            split="test",
            sha256=data.test.sha256(),
            classes=len(target.classes),
            grouped=target.grouped,
            clean=images.clean,
            images=len(images.pixels),
            targeted=threat.targeted,
            steps=threat.steps,
            queries=threat.queries,
            seed=threat.seed,
            results=tuple(outcome.results),
            queries_to_success=tuple(outcome.queries),
            checks=outcome.checks,
            defence=outcome.defence,
            engine=f"{target.engine.name}/{target.engine.implementation}",
            art=library,
            torch=str(torch.__version__),
            **describe_code(),
            device=describe_device(torch.device("cpu")),
            started=started,
            seconds=round(time.monotonic() - clock, 1),
        )
    print_record(record)
    if args.json is not None:
        write_attack(args.json, record)
    return record.strong


def _read_eps(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise RecipeError(
            f"expected --eps as numbers with commas, such as 0.5,1,2; found {text:.40}"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
