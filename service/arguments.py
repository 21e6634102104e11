"""The parser of the command line: commands, options and their help texts."""

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
        "the images of a camera (watch).",
        epilog=describe_settings(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_settings(parser, None)
    _add_printing(parser, False)
    parser.add_argument("--version", action="store_true", help="print the version and exit")
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
            "cores. Exit status: 0; 1 if an image or a folder could not be used; 2 for wrong "
            "usage; 130 after SIGINT or SIGTERM.",
        )
    )
    _add_watch(
        commands.add_parser(
            "watch",
            help="print labels and scores of a camera's images",
            description="Classifies the newest image of a camera, again and again, until SIGTERM "
            "or SIGINT. If the camera or the receiver goes away, it is tried again.",
        )
    )
    test = commands.add_parser(
        "self-test",
        help="compare the engine's answers with those that the bundle stores",
        description="Runs the engine on the images that the bundle stores, and compares the logits "
        "with the stored ones. Exit status: 0 if they are right for this CPU, else 1.",
    )
    _add_settings(test, argparse.SUPPRESS)
    test.add_argument("--json", action="store_true", help="one JSON object")
    _add_model(test)
    key = commands.add_parser(
        "make-key",
        help="print a new API key, and the lines for the file that BNN_API_KEYS_FILE names",
        description="Prints a new API key to standard error, once, and the lines that allow it to "
        "standard output: make-key NAME >> keys.toml. The lines hold only the SHA-256 of the key.",
    )
    key.add_argument(
        "name", metavar="NAME", help="name of the key's owner: 1 to 40 letters, digits, - and _"
    )
    key.add_argument(
        "--rate", type=float, metavar="N", help="images per second (default: no limit)"
    )
    key.add_argument(
        "--burst", type=float, metavar="N", help="images at once (default: the same as --rate)"
    )
    key.add_argument(
        "--change-models",
        action="store_true",
        help="the key may also load and unload models (Open Inference Protocol)",
    )
    commands.add_parser(
        "sample-image",
        help="write a drawn sunflower as a JPEG, for a first request without an own photo",
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
        "-r", "--recursive", action="store_true", help="also enter the folders in folders"
    )
    classify.add_argument(
        "--from-file",
        action="append",
        default=[],
        metavar="LIST",
        help="a file of names, one per line; - for standard input",
    )
    classify.add_argument(
        "-0", "--null", action="store_true", help="names in lists end with NUL (find -print0)"
    )
    classify.add_argument(
        "--shard",
        type=_read_shard,
        metavar="I/N",
        help="only the images of shard I of N, from 1/N to N/N; or NAME/N, where the environment "
        "variable NAME has the number, counted from 0",
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
    _add_certainty(classify)
    form = classify.add_mutually_exclusive_group()
    form.add_argument(
        "--format",
        choices=("text", "jsonl", "csv"),
        help="lines for people, JSON lines or CSV (default: text; with --output the ending of its "
        "name decides, else jsonl)",
    )
    form.add_argument(
        "--json",
        action="store_true",
        help="JSON lines with the time of each inference; errors also on standard error",
    )
    classify.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="write the rows to FILE; if an earlier run left it unfinished, continue it",
    )
    again = classify.add_mutually_exclusive_group()
    again.add_argument(
        "--retry-errors", action="store_true", help="classify again what has an error in FILE"
    )
    again.add_argument("--overwrite", action="store_true", help="replace FILE")
    classify.add_argument(
        "--accept-errors", action="store_true", help="exit status 0 even if images have errors"
    )
    classify.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="use the workers of a Dask scheduler, for example tcp://HOST:8786",
    )
    _add_model(classify)


def _read_shard(text: str) -> "Shard":
    from service.bulk.shards import parse_shard  # serving does not need it

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
        help="classify the newest image every SECONDS (default 1; 0: as often as possible)",
    )
    watch.add_argument(
        "--top-k", type=int, metavar="N", help=f"classes per image (default {DEFAULT_TOP_K})"
    )
    _add_certainty(watch)
    watch.add_argument(
        "--min-score",
        type=_make_number(0, 1),
        default=0.0,
        metavar="SCORE",
        help="leave out classes with a lower score, and images without any class left",
    )
    watch.add_argument(
        "--only-changes", action="store_true", help="print a line only when the best label changes"
    )
    watch.add_argument(
        "--count", type=_read_count, metavar="N", help="exit after N results (default: never)"
    )
    watch.add_argument(
        "--post", metavar="URL", help="send each result to URL as JSON instead of printing it"
    )
    watch.add_argument(
        "--timeout",
        type=_make_number(0.1, 86_400),
        metavar="SECONDS",
        help="after this silence the camera or receiver counts as gone (default 10; a folder: "
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


def _add_certainty(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--certainty",
        type=_make_number(0, 1),
        metavar="C",
        help="also a hedged answer that is right this often, such as 0.95: a label, or a name for "
        "several (animal); for a model with a hierarchy of labels",
    )


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
        raise argparse.ArgumentTypeError(
            f"expected a whole number of at least 1; found {text[:60]!r}"
        )
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
        help="print the effective settings as a settings file and exit",
    )
