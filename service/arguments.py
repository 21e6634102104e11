"""The command line: what may be asked of the program, and its help."""

import argparse
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import ENGINES
from service.classification.classifier import DEFAULT_TOP_K
from service.messages.output import Parser
from service.settings.settings import CONFIG_VARIABLE, MAX_WORKERS, describe_settings

if TYPE_CHECKING:
    from service.bulk.shards import Shard

_SCRIPT = "bnn-service"


def build_parser() -> argparse.ArgumentParser:
    """The parser; `command` is None or the name of one."""
    is_script = Path(sys.argv[0]).name == _SCRIPT
    parser = Parser(
        prog=_SCRIPT if is_script else "python -m service",
        description="Serves a binary neural network over HTTP, or classifies files (classify) or "
        "what a camera sees (watch).",
        epilog=describe_settings(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_settings(parser, None)
    _add_printing(parser, False)
    parser.add_argument("--version", action="store_true", help="print the version, and end")
    commands = parser.add_subparsers(
        dest="command", metavar="{serve,classify,watch,self-test,make-key,sample-image}"
    )
    # Given before or after the command: a default here would undo what was given before.
    serve = commands.add_parser("serve", help="serve over HTTP (the default)")
    _add_settings(serve, argparse.SUPPRESS)
    _add_printing(serve, argparse.SUPPRESS)
    _add_classify(
        commands.add_parser(
            "classify",
            help="print labels and scores of images: files, folders, lists, object stores",
            description="Writes labels and scores of each image, in the order of the names, on all "
            "cores. Status 0; 1 if an image or a folder could not be used; 2 for wrong usage; 130 "
            "if SIGINT or SIGTERM ended it.",
        )
    )
    _add_watch(
        commands.add_parser(
            "watch",
            help="print labels and scores of what a camera sees",
            description="Classifies the newest image that a camera gives, again and again, until "
            "SIGTERM or SIGINT. A camera or a receiver that goes away is tried again.",
        )
    )
    test = commands.add_parser(
        "self-test",
        help="compare the engine's answers to the bundle's stored images with the stored ones",
        description="Compares the engine's logits of the images that the bundle stores with the "
        "stored ones: status 0 if they are as they should be on this CPU, else 1.",
    )
    _add_settings(test, argparse.SUPPRESS)
    test.add_argument("--json", action="store_true", help="one JSON object")
    _add_model(test)
    key = commands.add_parser(
        "make-key",
        help="print a new API key, and the lines for the file that BNN_API_KEYS_FILE names",
        description="Prints a new API key to standard error, once, and to standard output the "
        "lines that let it in: make-key NAME >> keys.toml. They have the key's SHA-256 alone.",
    )
    key.add_argument("name", metavar="NAME", help="who gets it: 1 to 40 letters, digits, - and _")
    key.add_argument("--rate", type=float, metavar="N", help="images a second (default: any)")
    key.add_argument(
        "--burst", type=float, metavar="N", help="images at once (default: those of a second)"
    )
    key.add_argument(
        "--change-models",
        action="store_true",
        help="the key may also load and unload models (Open Inference Protocol)",
    )
    commands.add_parser(
        "sample-image",
        help="write a drawn sunflower as a JPEG, for a first request without a photo at hand",
        description="Writes a JPEG of 640x480 pixels to standard output, a sunflower that this "
        "program draws: sample-image > sample.jpg.",
    )
    return parser


def _add_classify(classify: argparse.ArgumentParser) -> None:
    _add_settings(classify, argparse.SUPPRESS)
    classify.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="an image file, a folder, a URL that fsspec knows (s3://bucket/prefix/), or - for one "
        "image from standard input",
    )
    classify.add_argument(
        "-r", "--recursive", action="store_true", help="enter the folders in folders, too"
    )
    classify.add_argument(
        "--from-file",
        action="append",
        default=[],
        metavar="LIST",
        help="a file of names, one a line; - for standard input",
    )
    classify.add_argument(
        "-0", "--null", action="store_true", help="names in lists end with NUL (find -print0)"
    )
    classify.add_argument(
        "--shard",
        type=_read_shard,
        metavar="I/N",
        help="only the images of the I-th of N shards, from 1/N to N/N; or NAME/N, where the "
        "variable NAME has the number, from 0 on",
    )
    classify.add_argument(
        "--workers",
        type=_read_workers,
        metavar="N",
        help="processes, one thread each (default: usable CPUs, if there is memory)",
    )
    classify.add_argument(
        "--top-k", type=int, metavar="N", help=f"classes per image (default {DEFAULT_TOP_K})"
    )
    form = classify.add_mutually_exclusive_group()
    form.add_argument(
        "--format",
        choices=("text", "jsonl", "csv"),
        help="lines for people, JSON or CSV (default: text; with --output by its ending, else "
        "jsonl)",
    )
    form.add_argument(
        "--json",
        action="store_true",
        help="JSON lines with the time of each inference; errors on standard error, too",
    )
    classify.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="write rows there; a file that an earlier run left is gone on with",
    )
    again = classify.add_mutually_exclusive_group()
    again.add_argument(
        "--retry-errors", action="store_true", help="of FILE, rows of errors are made anew"
    )
    again.add_argument("--overwrite", action="store_true", help="begin FILE anew")
    classify.add_argument(
        "--accept-errors", action="store_true", help="status 0 also where images have errors"
    )
    classify.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="let the workers of a Dask scheduler, as tcp://HOST:8786, do the work",
    )
    _add_model(classify)


def _read_shard(text: str) -> "Shard":
    from service.bulk.shards import parse_shard  # serving has no need of it

    try:
        return parse_shard(text)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(str(fault)) from fault


def _read_workers(text: str) -> int:
    count = _read_count(text)
    if count > MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"expected at most {MAX_WORKERS}; found {count}")
    return count


def _add_watch(watch: argparse.ArgumentParser) -> None:
    _add_settings(watch, argparse.SUPPRESS)
    watch.add_argument(
        "source",
        metavar="SOURCE",
        help="a folder into which images are written, or the http or https URL of a still image "
        "or of an MJPEG stream",
    )
    watch.add_argument(
        "--every",
        type=_make_number(0, 86_400),
        default=1.0,
        metavar="SECONDS",
        help="at most one image in so many seconds, the newest (default 1; 0: as many as possible)",
    )
    watch.add_argument(
        "--top-k", type=int, metavar="N", help=f"classes per image (default {DEFAULT_TOP_K})"
    )
    watch.add_argument(
        "--min-score",
        type=_make_number(0, 1),
        default=0.0,
        metavar="SCORE",
        help="leave out classes below it, and images without any other",
    )
    watch.add_argument(
        "--only-changes", action="store_true", help="a line only when the best label changes"
    )
    watch.add_argument(
        "--count", type=_read_count, metavar="N", help="end after N results (default: never)"
    )
    watch.add_argument(
        "--post", metavar="URL", help="post each result there as JSON instead of printing it"
    )
    watch.add_argument(
        "--timeout",
        type=_make_number(0.1, 86_400),
        metavar="SECONDS",
        help="silence after which camera or receiver are taken to be gone (default 10; a folder: "
        "never)",
    )
    form = watch.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_true", help="one JSON object per line (the default for a file)"
    )
    form.add_argument(
        "--text", action="store_true", help="lines for people (the default at a terminal)"
    )
    _add_model(watch)


def _make_number(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"expected a number from {least:g} to {most:g}; found {text[:60]!r}"
            )
        return value

    return read


def _read_count(text: str) -> int:
    if not re.fullmatch("0*[1-9][0-9]{0,17}", text):
        raise argparse.ArgumentTypeError(f"expected a number from 1 on; found {text[:60]!r}")
    return int(text)


def _add_settings(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=default,
        help=f"TOML file of settings (default: {CONFIG_VARIABLE})",
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", choices=("auto", *ENGINES), help="default: BNN_ENGINE")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="default: BNN_BUNDLE")


def _add_printing(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument(
        "--print-config",
        action="store_true",
        default=default,
        help="print the effective settings as a settings file, and end",
    )
