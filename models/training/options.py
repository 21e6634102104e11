"""The options of a training, on the command line and in a TOML file, and the job that they are."""

from __future__ import annotations

import argparse
import math
import os
import sys
import sysconfig
import tomllib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import torch

from models.data.catalog import NAMES as DATA_SETS
from models.data.datasets import DataSet, open_data_set
from models.data.image_folder import (
    HELD_BACK,
    NETWORK,
    STEM,
    choose_defaults,
    find_run_folder,
    open_photos,
)
from models.data.preprocessing import evaluation_preprocessing
from models.errors import RecipeError
from models.networks.binary_kernels import load_kernels
from models.networks.registry import NAMES, default_image_size, find_changes
from models.networks.specs import SPECS
from models.training.initial_weights import read_start
from models.training.job import Job, build_network_of
from models.training.recipe import Recipe
from models.training.teachers_classes import TeachersClasses, read_names, with_test
from models.training.trainer import Execution
from runtime.errors import TorchUnavailable
from runtime.images import MAX_SIDE


class _Parser(argparse.ArgumentParser):
    """Mistakes in options are reported like all others."""

    def error(self, message: str) -> NoReturn:
        raise RecipeError(f"{message}; python -m models.train --help lists the options")


RECIPE_FIELDS = tuple(field.name for field in fields(Recipe))
NO_START = Path("none")
SPEC_FIELDS = ("stem", "shift", "improvement", "binary")  # what a command line may change


def make_parser(description: str | None = None) -> _Parser:
    """All options; those of the recipe come from its fields."""
    parser = _Parser(
        prog="python -m models.train",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "network",
        nargs="?",
        metavar="NETWORK",
        help=f"one of {', '.join(NAMES)} (default: that of --start, or "
        f"with --folder alone {NETWORK})",
    )
    parser.add_argument("--config", type=Path, help="a TOML file of options")
    where = parser.add_argument_group("images and results")
    where.add_argument("--data", type=Path, help="directory with train/ and test/ or val/")
    where.add_argument("--folder", type=Path, help="your own photos, a sub-folder per class")
    where.add_argument("--set", choices=DATA_SETS, help="what DATA is a copy of; checks its counts")
    where.add_argument("--data-name", help="the set's name in records (default: the directory's)")
    where.add_argument("--out", type=Path, help="directory of the run; with --folder, the bundle")
    _switch(where, "--resume", "go on from the run's checkpoint")
    _switch(where, "--skip-damaged", "go on without files that cannot be decoded")
    where.add_argument("--cache", type=Path, help="keep decoded pixels in this directory")
    network = parser.add_argument_group("network")
    network.add_argument(
        "--image-size", type=int, help="side of the input (default: the network's)"
    )
    network.add_argument("--resize", type=int, help="shorter side before the crop when measuring")
    network.add_argument("--stored-side", type=int, help="of training images before augmentation")
    network.add_argument("--stem", help="another stem: grouped, imagenet7x7, thumbnail, small")
    network.add_argument(
        "--shift", type=float, help="unbalanced threshold: offsets start at -shift"
    )
    network.add_argument(
        "--start",
        type=Path,
        help="initial weights: .safetensors of models.pretrained, a checkpoint.pt, or a bundle "
        "(with --folder this repository's; none: random ones)",
    )
    _switch(network, "--improvement", "blocks that sharpen (--no-improvement: BinaryDenseNet)")
    _switch(
        network,
        "--binary",
        "weights and activations at one bit (--no-binary: full-precision reference)",
    )
    recipe = parser.add_argument_group("recipe (defaults: the published one)")
    defaults = Recipe()
    for name in RECIPE_FIELDS:
        default = getattr(defaults, name)
        also = f"; with --folder {HELD_BACK}" if name == "validation_share" else ""
        option, hint = f"--{name.replace('_', '-')}", f"default {default}{also}"
        if isinstance(default, bool):
            _switch(recipe, option, hint)
        else:
            recipe.add_argument(option, type=type(default), help=hint)
    recipe.add_argument("--teacher", help="a checkpoint.pt, or efficientnet-lite0, -lite1, -lite2")
    recipe.add_argument("--answers", type=Path, help="answers of teachers, stored by models.teach")
    recipe.add_argument("--kinds", type=Path, help="a list of models/recipes/teachers, for them")
    recipe.add_argument(
        "--labels", type=Path, help="instead: learn ImageNet's 1,000 classes, named by this file"
    )
    recipe.add_argument("--test-data", type=Path, help="with --labels: images of some of them")
    recipe.add_argument("--test-set", choices=DATA_SETS, help="what TEST_DATA is a copy of")
    speed = parser.add_argument_group("how it runs")
    speed.add_argument("--device", choices=("cpu", "cuda"), help="default: a GPU if there is one")
    speed.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's)")
    speed.add_argument("--workers", type=int, help="threads that decode (default: one per CPU)")
    _switch(speed, "--compile", "torch.compile the network")
    _switch(speed, "--channels-last", "maps in NHWC order, mostly faster (default: with --kernels)")
    _switch(speed, "--kernels", "the runtime's, for binary layers (default: in float32 on a CPU)")
    speed.add_argument("--measure-every", type=int, help="epochs between measurements (default 1)")
    speed.add_argument("--checkpoint-minutes", type=float, help="between checkpoints (default 10)")
    _switch(speed, "--quiet", "no progress bars")
    return parser


def _switch(group: Any, option: str, hint: str) -> None:
    group.add_argument(option, action=argparse.BooleanOptionalAction, default=None, help=hint)


def read_config(path: Path) -> list[str]:
    """The options of a TOML file as a command line, so that one parser checks both.

    Raises RecipeError for a file that is no TOML or holds tables or lists.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"expected a TOML file, found {error}") from error
    arguments: list[str] = []
    for key, value in content.items():
        option = f"--{key.replace('_', '-')}"
        if option in ("--config", "--help"):  # one would be ignored, the other end all
            raise RecipeError(f"expected options of a training, found {key}; leave it out")
        if isinstance(value, dict | list):
            raise RecipeError(f"expected one value for {key}, found {str(value)[:80]}")
        if key == "network":
            arguments.append(str(value))
        elif isinstance(value, bool):
            arguments.append(option if value else f"--no-{option.removeprefix('--')}")
        else:
            arguments.append(f"{option}={value}")
    return arguments


def parse_arguments(
    arguments: Sequence[str] | None, description: str | None = None
) -> argparse.Namespace:
    """The command line, over the configuration file it names. Raises RecipeError."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = make_parser(description)
    args = parser.parse_args(given)
    if args.config is None:
        return args
    try:
        from_file = parser.parse_args(read_config(args.config))
    except RecipeError as error:
        raise RecipeError(f"{args.config}: {error}") from error
    network = args.network or from_file.network  # argparse forgets it where it is not repeated
    merged = parser.parse_args(given, from_file)
    merged.network = network
    return merged


def make_job(args: argparse.Namespace) -> Job:
    """What the command line asks for. Raises TrainingFault."""
    if args.out is None:
        raise RecipeError("expected --out, on the command line or in --config; found none")
    _check_options(args)
    _follow_start(args)
    data = _open(args)
    out = args.out
    if args.folder is not None:
        if args.binary is False:
            raise RecipeError(
                "expected a network that can be served with --folder; found --no-binary. Train the "
                "full-precision reference with --data."
            )
        out = find_run_folder(args.out)
        for name, value in choose_defaults(len(data.train), _has_learned(args)).items():
            fits = name != "stem" or args.network == NETWORK  # other networks have other stems
            if getattr(args, name) is None and fits:
                setattr(args, name, value)
    if args.network not in NAMES:
        raise RecipeError(f"expected a network of {', '.join(NAMES)}; found {args.network}")
    spec = _given(args, SPEC_FIELDS)
    job = Job(
        network=args.network,
        data=data,
        out=out,
        recipe=Recipe(**_given(args, RECIPE_FIELDS)),
        changes=find_changes(args.network, spec),
        image_size=args.image_size,
        resize=args.resize,
        stored_side=args.stored_side,
        execution=_choose_execution(args),
        device=choose_device(args),
        teacher=args.teacher,
        answers=args.answers,
        kinds=args.kinds,
        teachers_classes=_find_teachers_classes(args),
        start=None if args.start == NO_START else args.start,
        cache=args.cache,
        workers=args.workers or os.cpu_count() or 1,
        checkpoint_minutes=10 if args.checkpoint_minutes is None else args.checkpoint_minutes,
        resume=bool(args.resume),
        skip_damaged=bool(args.skip_damaged),
        progress=not args.quiet,
    )
    _check_image_size(job)
    return job


def _choose_execution(args: argparse.Namespace) -> Execution:
    """Raises RecipeError, and TorchUnavailable for kernels that are asked for and not there."""
    kernels = _choose_kernels(args)
    channels_last = kernels if args.channels_last is None else args.channels_last
    return Execution(bool(args.compile), channels_last, args.measure_every or 1, kernels)


def _choose_kernels(args: argparse.Namespace) -> bool:
    """Whether the runtime's kernels compute: by default wherever they can, with a note if not."""
    spec = SPECS.get(args.network)
    obstacles = {
        "--mixed-precision": args.mixed_precision,
        "--compile": args.compile,
        "--no-binary": args.binary is False,
        "a GPU (--device cpu)": choose_device(args) != "cpu",
        f"the network {args.network}": spec is None or not spec.binary,
    }
    found = [name for name, is_there in obstacles.items() if is_there]
    if args.kernels and found:
        raise RecipeError(
            "expected --kernels for a binary network in float32 on a CPU, not compiled; found "
            f"{' and '.join(found)}. Change that, or leave --kernels out."
        )
    if args.kernels is False or found:
        return False
    try:
        load_kernels()
    except TorchUnavailable as error:
        if args.kernels:
            raise
        if not args.quiet and os.environ.get("RANK", "0") == "0":
            text = "models.train: without the runtime's kernels, which train faster"
            print(f"{text}: {error}", file=sys.stderr)
        return False
    return True


def _follow_start(args: argparse.Namespace) -> None:
    """Without a network the one of the initial weights is meant. Raises TrainingFault."""
    if args.network is not None or args.start in (None, NO_START):
        return
    start = read_start(args.start)
    args.network = start.network
    if spec := SPECS.get(start.network):
        for name in ("stem", "improvement", "binary"):
            if getattr(args, name) is None:
                setattr(args, name, start.changes.get(name, getattr(spec, name)))


def _find_teachers_classes(args: argparse.Namespace) -> TeachersClasses | None:
    if args.labels is None:
        if args.test_data is not None or args.test_set is not None:
            raise RecipeError("expected --test-data with --labels only; found no --labels")
        return None
    names = read_names(args.labels)
    if args.test_data is None:
        return TeachersClasses(names)
    test = open_data_set(args.test_data, args.test_set, needs_train=False)
    return with_test(names, test)


def _given(args: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def find_python_header() -> Path:
    """Where the header that torch.compile includes should be."""
    return Path(sysconfig.get_path("include"), "Python.h")


def _check_options(args: argparse.Namespace) -> None:
    """Numbers that make no sense, before any image is read. Raises RecipeError."""
    Recipe(**_given(args, RECIPE_FIELDS))
    checks: tuple[tuple[str, Callable[[float], bool], str], ...] = (
        ("shift", math.isfinite, "a finite number"),
        ("stored_side", lambda n: 1 <= n <= MAX_SIDE, f"from 1 to {MAX_SIDE} pixels"),
        ("threads", lambda n: n >= 1, "at least 1"),
        ("workers", lambda n: n >= 1, "at least 1"),
        ("measure_every", lambda n: n >= 1, "at least 1 epoch"),
        ("checkpoint_minutes", lambda n: 0 <= n < math.inf, "a finite number of at least 0"),
    )
    for name, fits, expected in checks:
        value = getattr(args, name)
        if value is not None and not fits(value):
            raise RecipeError(f"expected --{name.replace('_', '-')} {expected}; found {value}")
    if args.compile and args.noise:
        raise RecipeError(
            "expected --noise without --compile, which would stop at each layer for it; found "
            "both. Leave one of them out."
        )
    if args.compile and not (header := find_python_header()).is_file():
        raise RecipeError(
            f"expected Python's headers for --compile; found no {header}. Install them (Debian: "
            "python3-dev), or give --no-compile, which is slower."
        )


def _check_image_size(job: Job) -> None:
    """Raises RecipeError if of an input this small the network's pools leave nothing."""
    with torch.device("meta"):
        network = build_network_of(job).eval()
    side = default_image_size(network) if job.image_size is None else job.image_size
    evaluation_preprocessing(side, job.resize)

    def fits(side: int) -> bool:
        try:
            with torch.no_grad():
                network(torch.empty(1, 3, side, side, device="meta"))
        except RuntimeError:
            return False
        return True

    if not fits(side):
        least = bisect_left(range(MAX_SIDE + 1), True, key=fits)
        raise RecipeError(
            f"expected --image-size of at least {least} for {job.network}; found {side}"
        )


def _has_learned(args: argparse.Namespace) -> bool:
    """Whether there are initial weights: those given, or this repository's for its network."""
    if args.start is not None:
        return bool(args.start != NO_START)
    given = (args.network, args.stem, args.improvement, args.binary)
    usual = (NETWORK, STEM, True, True)
    return all(value in (None, known) for value, known in zip(given, usual, strict=True))


def _open(args: argparse.Namespace) -> DataSet:
    if (args.data is None) == (args.folder is None):
        raise RecipeError(
            "expected either --data or --folder, on the command line or in --config; found "
            f"{'neither' if args.data is None else 'both'}"
        )
    if args.folder is not None:
        if args.set is not None:
            raise RecipeError("expected --set with --data only; found it with --folder")
        share = HELD_BACK if args.validation_share is None else args.validation_share
        data = open_photos(args.folder, share)
    else:
        data = open_data_set(args.data, args.set)
    if args.data_name is None:
        return data
    return DataSet(args.data_name, data.train, data.validation, data.test, data.labels)


def choose_device(args: argparse.Namespace) -> str:
    if args.device == "cuda" and not torch.cuda.is_available():
        raise RecipeError("expected a GPU for --device cuda, found none; leave the option out")
    return args.device or ("cuda" if torch.cuda.is_available() else "cpu")
